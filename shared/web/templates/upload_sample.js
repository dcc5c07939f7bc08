"use strict";
// Returns what of a file is posted to be checked: all of it, or its beginning up to the last complete
// line; null if only the whole file could be checked, which is too large for a request.
async function sampleOf(file, limit) {
  if (file.size <= limit) return { body: file, isWhole: true, isUnpacked: false };
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isUnpacked = start[0] === 0x1f && start[1] === 0x8b;
  const stream = isUnpacked ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream();
  const { bytes, isWhole } = await beginning(stream, limit);
  if (isWhole) return { body: new Blob([bytes]), isWhole, isUnpacked };
  const end = endOfLines(bytes);
  return end ? { body: new Blob([bytes.subarray(0, end)]), isWhole, isUnpacked } : null;
}

async function beginning(stream, limit) {
  const bytes = new Uint8Array(limit);
  const reader = stream.getReader();
  let size = 0;
  let isWhole = false;
  while (size < limit) {
    const { done, value } = await reader.read();
    if (done) {
      isWhole = true;
      break;
    }
    const part = value.subarray(0, limit - size);
    bytes.set(part, size);
    size += part.length;
  }
  reader.cancel().catch(() => {});
  return { bytes: bytes.subarray(0, size), isWhole };
}

// The number of bytes of complete lines; 0 if the lines are no devices of their own.
function endOfLines(bytes) {
  const first = bytes.indexOf(10) + 1;
  const line = new TextDecoder().decode(bytes.subarray(0, first)).trim();
  if (!first || line.startsWith("[")) return 0;
  const end = bytes.lastIndexOf(10) + 1;
  // An object that goes on in the next line contains all devices.
  if (line.startsWith("{")) return line.endsWith("}") ? end : 0;
  // A line end between quotes belongs to a cell of a CSV file.
  let quotes = 0;
  for (let index = 0; index < end; index++) if (bytes[index] === 34) quotes++;
  for (let index = end - 1; index >= 0; index--) {
    if (bytes[index] === 34) quotes--;
    else if (bytes[index] === 10 && quotes % 2 === 0) return index + 1;
  }
  return 0;
}
