"use strict";
// Sends a file to storage in blocks; can be stopped and continued.
const BLOCK_BYTES = 8 * 1024 * 1024;
const MAX_BLOCKS = 50000;
const PARALLEL_BLOCKS = 3;
const ATTEMPTS = 5;
// Milliseconds without progress after which a request is given up, and before the first retry.
const STALLED = 30000;
const BACK_OFF = 500;

class RequestError extends Error {
  // status: 0 without an answer. text: the body of the answer.
  constructor(status, text = "") {
    const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? "";
    super(status ? `The storage account refused the upload: ${status} ${code}`.trim() : "The connection was lost");
    Object.assign(this, { status, code, text });
  }

  get isTemporary() {
    return [0, 403, 408, 429].includes(this.status) || this.status >= 500;
  }
}

// Resolves to the body of the answer. Fetch does not tell how much was sent.
function put(url, body, headers, signal, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    let timer = setTimeout(abort, STALLED);
    request.upload.onprogress = (event) => {
      clearTimeout(timer);
      timer = setTimeout(abort, STALLED);
      onProgress(event.loaded);
    };
    request.onloadend = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      if (signal.aborted) reject(signal.reason);
      else if (request.status >= 200 && request.status < 300) resolve(request.responseText);
      else reject(new RequestError(request.status, request.responseText));
    };
    signal.addEventListener("abort", abort);
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(body);
  });
}

class Transfer {
  // getTarget: resolves to the answer of POST uploads; to another one if that was refused.
  // isThere: resolves to whether the upload of such an answer is complete.
  constructor(file, getTarget, isThere, onProgress) {
    Object.assign(this, { file, getTarget, isThere, onProgress });
    this.blockBytes = BLOCK_BYTES * Math.max(1, Math.ceil(file.size / MAX_BLOCKS / BLOCK_BYTES));
    // Another upload of the same name must not replace these blocks. Ids have the same length.
    const prefix = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => String.fromCharCode(byte)).join("");
    this.ids = Array.from({ length: Math.ceil(file.size / this.blockBytes) }, (_, index) =>
      btoa(prefix + String(index).padStart(5, "0")),
    );
    this.done = new Set();
    this.sending = new Map();
    this.committing = null;
    this.stopping = null;
  }

  // Sends what is missing; resolves to the ticket of the upload when it is complete.
  async run() {
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    const waiting = [...this.ids.keys()].filter((index) => !this.done.has(index));
    const work = async () => {
      while (waiting.length) await this.sendBlock(waiting.shift(), signal);
    };
    try {
      await Promise.all(Array.from({ length: PARALLEL_BLOCKS }, work));
      return await this.commit(signal);
    } finally {
      this.stop();
      this.sending.clear();
    }
  }

  stop() {
    this.stopping?.abort();
  }

  get bytes() {
    let bytes = 0;
    for (const index of this.done) bytes += this.part(index).size;
    for (const loaded of this.sending.values()) bytes += loaded;
    return bytes;
  }

  // Whether storage has accepted anything.
  get wasReached() {
    return this.done.size > 0;
  }

  part(index) {
    return this.file.slice(index * this.blockBytes, (index + 1) * this.blockBytes);
  }

  async sendBlock(index, signal) {
    const part = this.part(index);
    const query = `&comp=block&blockid=${encodeURIComponent(this.ids[index])}`;
    const onProgress = (loaded) => {
      if (!signal.aborted) this.sending.set(index, Math.min(loaded, part.size));
      this.onProgress();
    };
    await this.retrying(signal, async (wasRefused) => {
      const { url } = await this.getTarget(wasRefused);
      try {
        await put(url + query, part, {}, signal, onProgress);
      } catch (error) {
        // Fails with a reason of its own if the file was changed or deleted.
        await part.slice(0, 1).arrayBuffer();
        throw error;
      } finally {
        this.sending.delete(index);
      }
    });
    this.done.add(index);
    this.onProgress();
  }

  async commit(signal) {
    const list = `<BlockList>${this.ids.map((id) => `<Latest>${id}</Latest>`).join("")}</BlockList>`;
    await this.retrying(signal, async (wasRefused) => {
      // The answer to an earlier attempt may have been lost.
      if (this.committing && (await this.isThere(this.committing))) return;
      this.committing = await this.getTarget(wasRefused);
      const { "x-ms-blob-type": _, ...headers } = this.committing.headers;
      try {
        await put(`${this.committing.url}&comp=blocklist`, list, headers, signal);
      } catch (error) {
        // Another upload of that name has removed the blocks.
        if (error.code === "InvalidBlockList") this.done.clear();
        throw error;
      }
    });
    return this.committing.ticket;
  }

  async retrying(signal, send) {
    let wasRefused = false;
    for (let attempt = 1; ; attempt++) {
      try {
        return await send(wasRefused);
      } catch (error) {
        const attempts = this.wasReached ? ATTEMPTS : 2;
        if (signal.aborted || !error.isTemporary || attempt >= attempts) throw error;
        // Of an address that has expired.
        wasRefused = error.status === 403;
        await pause(BACK_OFF * 2 ** (attempt - 1), signal);
      }
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
