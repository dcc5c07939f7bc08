"use strict";
// Shows local times, asks before an action, and keeps the elements marked data-live up to date.
(() => {
  const byId = (id) => document.getElementById(id);
  const [connection, dialog, pause] = ["connection", "confirm", "pause"].map(byId);
  const two = (number) => String(number).padStart(2, "0");
  let timer, asking;

  // As `local_time` of the command line writes them: 2026-11-28 09:30:00 +01:00.
  function localTime(time) {
    const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
    const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
    return `${date} ${clock} ${offset(time)}`;
  }

  function offset(time) {
    const minutes = -time.getTimezoneOffset();
    const size = Math.abs(minutes);
    return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
  }

  function showLocalTimes(root) {
    for (const element of root.querySelectorAll("time:not([title])")) {
      element.title = element.textContent;
      const time = localTime(new Date(element.dateTime));
      element.textContent = element.matches(".clock") ? time.slice(time.indexOf(" ") + 1) : time;
    }
  }

  function schedule() {
    clearTimeout(timer);
    const seconds = Number(document.body.dataset.refresh);
    const isPaused = pause?.getAttribute("aria-pressed") === "true";
    if (seconds && !document.hidden && !isPaused) timer = setTimeout(refresh, seconds * 1000);
  }

  async function refresh() {
    clearTimeout(timer);
    try {
      const response = await fetch(location.href);
      if (!response.ok) throw new Error(response.statusText);
      const next = new DOMParser().parseFromString(await response.text(), "text/html");
      // A form that is being asked about must stay.
      if (!dialog.open) update(next);
      connection.textContent = "";
    } catch {
      connection.textContent = "The app does not respond. This page may be out of date. Retrying.";
    }
    schedule();
  }

  function update(next) {
    prepare(next);
    document.title = next.title;
    document.body.dataset.refresh = next.body.dataset.refresh;
    for (const element of document.querySelectorAll("[data-live]")) {
      const fresh = next.getElementById(element.id);
      if (fresh && fresh.innerHTML !== element.innerHTML) replace(element, fresh);
    }
  }

  // Makes a page of the app what it is with scripts.
  function prepare(page) {
    showLocalTimes(page);
    for (const element of page.querySelectorAll(".script")) element.hidden = false;
  }

  // Keeps the focus, and what the reader has expanded, typed or checked.
  function replace(element, fresh) {
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...element.querySelectorAll("details[open]")].map((details) => details.id);
    const inputs = [...element.querySelectorAll("input[id]")];
    element.replaceChildren(...fresh.childNodes);
    for (const { id, value, checked } of inputs) {
      const input = byId(id);
      if (input) Object.assign(input, { value, checked });
    }
    for (const id of open) byId(id)?.setAttribute("open", "");
    if (focused) byId(focused)?.focus();
  }

  // Each button says what it does: "Cancel" alone could mean either.
  function ask(form) {
    asking = form;
    byId("question").textContent = form.dataset.confirm;
    byId("act").textContent = form.dataset.act;
    byId("keep").textContent = form.dataset.keep;
    dialog.showModal();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? schedule() : refresh()));
  // Filters that are not set are left out of the address.
  document.addEventListener("formdata", ({ target, formData }) => {
    if (target.method !== "get") return;
    for (const [name, value] of [...formData]) if (!value) formData.delete(name);
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.dataset.confirm) return;
    event.preventDefault();
    ask(event.target);
  });
  byId("keep").addEventListener("click", () => dialog.close());
  byId("act").addEventListener("click", () => {
    dialog.close();
    asking.submit();
  });
  byId("refresh")?.addEventListener("click", refresh);
  pause?.addEventListener("click", () => {
    const isPaused = pause.getAttribute("aria-pressed") === "true";
    pause.setAttribute("aria-pressed", String(!isPaused));
    if (isPaused) refresh();
    else schedule();
  });
  prepare(document);
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (timeZone !== "UTC") {
    byId("zone").textContent = `local (${timeZone}, UTC${offset(new Date())}), with UTC on hover`;
  }
  schedule();
})();
