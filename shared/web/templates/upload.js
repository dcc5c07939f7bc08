"use strict";
// The section Upload: a file is checked, then sent to storage, or through the app, and followed.
(() => {
  const section = document.getElementById("upload");
  if (!section) return;
  const { check, uploads, upload, import: importPage, limit } = section.dataset;
  const part = (name) => document.getElementById(`upload-${name}`);
  // Milliseconds between two questions for the import, and until the app should have noticed the upload.
  const FOLLOW = 2000;
  const NOTICED = 6 * 60 * 1000;

  let file = null;
  // The name of the blob that is uploaded.
  let path = "";
  // Counts files and changes of the form: what belongs to an earlier one is dropped.
  let turn = 0;
  let checkedKind = "";
  let isChecking = false;
  // Whether an upload was asked for during a check, after which it begins.
  let isWanted = false;
  let transfer = null;
  // Of an upload through the app.
  let stopping = null;
  let isPaused = false;
  let isOffline = false;

  class ApiError extends Error {
    constructor(status, problem) {
      super(problem.detail ?? (status ? `The app answered ${status}` : "The app does not respond"));
      Object.assign(this, { status, problem, isTemporary: !status || status === 503 });
    }
  }

  async function call(url, options) {
    let answer;
    try {
      answer = await fetch(url, options);
    } catch {
      throw new ApiError(0, {});
    }
    if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => ({})));
    return { body: await answer.json(), date: Date.parse(answer.headers.get("Date")) || Date.now() };
  }

  function address(base, query) {
    const url = new URL(base, location.href);
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
    return url;
  }

  function say(...content) {
    part("status").replaceChildren(...content);
  }

  function query() {
    return {
      hub: part("hub")?.value,
      name: part("name").value,
      confirmDeletes: Number(part("deletes")?.value) || "",
      overwrite: part("overwrite").checked ? "true" : "",
    };
  }

  // The name of the blob.
  const pathOf = ({ hub, name }) => (hub ? `${hub}/${name}` : name);

  function folderText(name) {
    const folder = name.slice(0, name.lastIndexOf("/") + 1);
    return folder ? `the folder ${folder}` : "the top folder";
  }

  // For a shell.
  const quoted = (text) => (/^[\w.\/:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  // Choose and check

  function choose(files) {
    if (transfer || stopping || !files.length) return;
    if (files.length > 1) return say("Choose one file at a time.");
    [file] = files;
    isWanted = false;
    part("name").value = file.name;
    part("overwrite").checked = false;
    part("overwrite-label").hidden = true;
    part("form").hidden = false;
    checkFile();
  }

  // What of a name the check depends on: its folder, and what stands for the format.
  function kindOf(name) {
    const folder = name.slice(0, name.lastIndexOf("/") + 1);
    const last = name.slice(folder.length);
    const isMapping = last === "_mapping.json";
    return isMapping ? name : folder + (last.includes(".") ? last.slice(last.indexOf(".")) : "");
  }

  async function checkFile() {
    const own = ++turn;
    checkedKind = kindOf(part("name").value);
    isChecking = true;
    part("start").disabled = false;
    part("result").replaceChildren();
    say(`Checking ${file.name}, ${sizeOf(file.size)}.`);
    let sample;
    try {
      sample = await sampleOf(file, Number(limit));
    } catch (error) {
      if (own !== turn) return;
      say(`The file cannot be read: ${error.message}`);
      isChecking = false;
      part("start").disabled = true;
      return;
    }
    let result = null;
    let trouble = "only a whole file in this format can be checked, and this one is too large for that";
    if (sample && own === turn) {
      const { confirmDeletes, ...others } = query();
      // The folder selects the mapping; a part of an unpacked file has another extension.
      const checked = sample.isUnpacked ? pathOf(others).replace(/\.gz$/i, "") : pathOf(others);
      const options = { method: "POST", body: sample.body };
      try {
        result = (await call(address(check, { name: checked, confirmDeletes }), options)).body;
      } catch (error) {
        trouble = error.message.replace(/\.$/, "");
      }
    }
    if (own !== turn) return;
    showResult(result, sample);
    if (!result) say(`${file.name} was not checked: ${trouble}. The app checks it after the upload.`);
    isChecking = false;
    part("start").disabled = Boolean(result) && !mayBeImported(result, sample);
    if (isWanted && result && !part("start").disabled) start();
    isWanted = false;
  }

  // Of a part it is not known whether the file deletes a larger share of its devices than allowed.
  function mayBeImported(result, sample) {
    if (result.importable || sample.isWhole) return result.importable;
    const errors = result.problems.filter(({ severity }) => severity === "error");
    return errors.every(({ code }) => code === "too-many-deletes");
  }

  function showResult(result, sample) {
    if (!result) return;
    const what = sample.isWhole ? file.name : `The first ${sizeOf(sample.body.size)} of ${file.name}`;
    const { error = 0, warning = 0 } = result.severities;
    if (result.format === "mapping" && result.importable) {
      say(`${file.name} is a valid mapping. Ready to upload: it will apply to all files of ${folderText(pathOf(query()))}, also to CSV files without its columns, which are rejected.`);
      return;
    }
    const counts = `${counted(result.lines, "line")}, ${format(result.valid)} valid, ${counted(error, "error")}, ${counted(warning, "warning")}`;
    const verdict = mayBeImported(result, sample)
      ? result.importable && result.valid < result.lines
        ? "The valid lines would be imported, the others reported."
        : "Ready to upload."
      : "The file would be rejected, so it cannot be uploaded here. Correct it, then choose it again.";
    const isDeleting = "too-many-deletes" in result.codes && part("deletes");
    const hint = isDeleting ? " If the deletes are intended, enter their number under Deletes to allow." : "";
    const isUnmapped = result.format.startsWith("csv") && !result.importable && !query().name.includes("/");
    const folder = isUnmapped ? " If a mapping is for it, write the folder of the mapping before the name." : "";
    say(`${what}: ${counts}. ${verdict}${hint}${folder}`);
    part("result").replaceChildren(...problemList(result));
  }

  // Upload

  async function start() {
    if (stopping) return;
    setRunning(true);
    const asked = query();
    path = pathOf(asked);
    let target = null;
    let renewAt = 0;
    let request = null;
    const ask = async () => {
      const { body, date } = await call(address(uploads, asked), { method: "POST" });
      // By the clock of the app; two thirds of the time that is left.
      renewAt = performance.now() + ((Date.parse(body.expiresAt) - date) * 2) / 3;
      return (target = body);
    };
    const getTarget = async (wasRefused) => {
      if (request) return request;
      if (target && !wasRefused && performance.now() < renewAt) return target;
      request = ask().finally(() => (request = null));
      return request;
    };
    const isThere = async ({ ticket }) => {
      const found = await call(address(upload.replace("TICKET", ticket), {}));
      return Boolean(found.body.importId) || found.body.isMapping;
    };
    transfer = new Transfer(file, getTarget, isThere, showProgress);
    await run();
  }

  async function run() {
    const own = transfer;
    isOffline = false;
    showPaused(false);
    say(`Uploading ${path}.`);
    try {
      finish(await own.run());
    } catch (error) {
      if (own === transfer) await fail(error);
    }
  }

  async function fail(error) {
    const isOfStorage = error instanceof RequestError;
    const isUnreached = isOfStorage && !transfer.wasReached && [0, 403].includes(error.status);
    if (error.name === "AbortError") return;
    if (isUnreached && (await appResponds())) return throughApp();
    if (exists(error.problem) || (isOfStorage && [409, 412].includes(error.status))) return askToOverwrite(error);
    if (error.isTemporary || error.code === "InvalidBlockList") {
      isOffline = !error.status;
      showPaused(true);
      say(`Paused: ${error.message}. Resume goes on where it stopped.`);
      return;
    }
    reset();
    if (error.name === "NotReadableError") {
      clear();
      part("file").focus();
      return say("Not uploaded: the file was changed or deleted while it was read. Choose it again.");
    }
    say(`Not uploaded. ${error.message}`);
  }

  const exists = (problem) => problem?.type?.endsWith(":upload-exists");

  async function appResponds() {
    try {
      await call(address(upload.replace("TICKET", (await transfer.getTarget(false)).ticket), {}));
      return true;
    } catch {
      return false;
    }
  }

  function askToOverwrite({ problem }) {
    reset();
    part("overwrite-label").hidden = false;
    part("overwrite").focus();
    const link = problem?.importId && element("a", { href: importPage.replace("IMPORT", problem.importId) }, "its import");
    say("A file of that name exists", ...(link ? [": ", link] : []), ". Choose another name, or overwrite it: that is a new import.");
  }

  async function throughApp() {
    transfer = null;
    part("pause").hidden = true;
    if (file.size > Number(limit)) {
      reset();
      const { hub, name } = query();
      const options = [hub && `--hub ${quoted(hub)}`, name !== file.name && `--name ${quoted(name)}`];
      const command = ["device-importer upload", quoted(file.name), ...options].filter(Boolean).join(" ");
      say(`This browser cannot reach the storage account, and only files of up to ${sizeOf(Number(limit))} can go through the app. Use the command line where it can be reached: `, element("code", {}, command));
      return;
    }
    say("This browser cannot reach the storage account, so the file goes through the app.");
    stopping = new AbortController();
    const showSent = (loaded) => showAmount(Math.min(loaded, file.size));
    try {
      const answer = await put(address(uploads, query()), file, {}, stopping.signal, showSent);
      finish(JSON.parse(answer).ticket);
    } catch (error) {
      if (error.name === "AbortError") return;
      let problem = {};
      try {
        problem = JSON.parse(error.text);
      } catch {}
      if (exists(problem)) return askToOverwrite({ problem });
      reset();
      say(`Not uploaded. ${problem.detail ?? `${error.message}.`}`);
    }
  }

  function finish(ticket) {
    const hadFocus = part("form").contains(document.activeElement);
    reset();
    clear();
    if (hadFocus) part("file").focus();
    say(`${path} is uploaded. Waiting for the app to notice it.`);
    follow(ticket, path, ++turn);
  }

  async function follow(ticket, name, own) {
    const since = performance.now();
    for (;;) {
      try {
        const { importId, state, isMapping } = (await call(address(upload.replace("TICKET", ticket), {}))).body;
        if (own !== turn) return;
        if (isMapping) return say(`${name} is uploaded. It applies to the files of ${folderText(name)} that are validated from now on.`);
        if (state) {
          say(`${name} is uploaded. See `, element("a", { id: "upload-import", href: importPage.replace("IMPORT", importId) }, "its import"), ".");
          return;
        }
      } catch (error) {
        if (own !== turn || !error.isTemporary) return;
      }
      if (performance.now() - since > NOTICED) {
        say(`${name} is uploaded, but the app has not noticed it yet. See Health.`);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, FOLLOW));
    }
  }

  // What is shown

  let rates = [];
  // What was said of it, in quarters.
  let quarters = 0;

  function showProgress() {
    showAmount(transfer?.bytes ?? 0);
  }

  function showAmount(bytes) {
    const now = performance.now();
    rates.push({ now, bytes });
    rates = rates.filter((rate) => now - rate.now < 5000);
    const [first] = rates;
    const seconds = (now - first.now) / 1000;
    const rate = seconds > 0.5 && bytes > first.bytes ? `, ${sizeOf((bytes - first.bytes) / seconds)}/s` : "";
    const share = file.size ? bytes / file.size : 1;
    part("progress").value = share;
    // Screen readers read the status, and not each change of the amount.
    if (!isPaused && Math.floor(share * 4) > quarters) {
      quarters = Math.floor(share * 4);
      say(`Uploading ${path}: ${quarters * 25} %.`);
    }
    part("amount").textContent = `${Math.floor(share * 100)} %, ${sizeOf(bytes)} of ${sizeOf(file.size)}${rate}`;
  }

  function setRunning(isRunning) {
    const hadFocus = part("pause") === document.activeElement;
    rates = [];
    quarters = 0;
    part("running").hidden = part("pause").hidden = !isRunning;
    part("start").hidden = isRunning;
    for (const input of section.querySelectorAll("input, select")) input.disabled = isRunning;
    if (isRunning) {
      showAmount(0);
      part("pause").focus();
    } else if (hadFocus) part("start").focus();
  }

  function showPaused(paused) {
    isPaused = paused;
    rates = [];
    part("pause").textContent = isPaused ? "Resume" : "Pause";
    // Without a rate.
    showProgress();
  }

  function reset() {
    transfer?.stop();
    stopping?.abort();
    transfer = stopping = null;
    setRunning(false);
  }

  function clear() {
    file = null;
    part("file").value = "";
    part("form").hidden = true;
    part("result").replaceChildren();
  }

  // Controls

  part("controls").hidden = false;
  // Otherwise there is no event if a file was corrected and is chosen again.
  part("file").addEventListener("click", () => (part("file").value = ""));
  part("file").addEventListener("change", () => choose(part("file").files));
  // The click on a button that leaves a field comes first: what a check shows moves the button.
  const checkSoon = () => {
    if (!file) return;
    isChecking = true;
    setTimeout(() => file && !transfer && checkFile(), 250);
  };
  // Another folder may have another mapping.
  part("hub")?.addEventListener("change", checkSoon);
  part("deletes")?.addEventListener("change", checkSoon);
  part("name").addEventListener("change", () => {
    part("overwrite-label").hidden = true;
    if (kindOf(part("name").value) !== checkedKind) checkSoon();
  });
  part("form").addEventListener("submit", (event) => {
    event.preventDefault();
    isWanted = isChecking;
    if (!isChecking && !part("start").disabled) start();
  });
  part("pause").addEventListener("click", () => {
    if (isPaused) return run();
    transfer.stop();
    showPaused(true);
    say("Paused.");
  });
  part("cancel").addEventListener("click", () => {
    const mayBeThere = transfer?.committing || stopping;
    reset();
    turn++;
    clear();
    part("file").focus();
    say(mayBeThere ? "Cancelled. The file may be uploaded all the same: see Imports." : "Nothing was uploaded.");
  });
  addEventListener("online", () => {
    if (transfer && isPaused && isOffline) run();
  });
  addEventListener("beforeunload", (event) => {
    if (transfer || stopping) event.preventDefault();
  });
  for (const name of ["dragover", "drop"]) {
    // A file that misses the zone must not replace the page.
    addEventListener(name, (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
  }
  section.addEventListener("dragover", () => part("drop").classList.add("over"));
  section.addEventListener("dragleave", () => part("drop").classList.remove("over"));
  section.addEventListener("drop", (event) => {
    part("drop").classList.remove("over");
    choose(event.dataTransfer.files);
  });
})();
