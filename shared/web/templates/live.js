"use strict";
// Replaces the elements marked data-live with those of the current page.
(() => {
  const connection = document.getElementById("connection");
  let timer;

  function schedule() {
    clearTimeout(timer);
    const seconds = Number(document.body.dataset.refresh);
    if (seconds && !document.hidden) timer = setTimeout(refresh, seconds * 1000);
  }

  async function refresh() {
    try {
      const response = await fetch(location.href);
      if (!response.ok) throw new Error(response.statusText);
      const next = new DOMParser().parseFromString(await response.text(), "text/html");
      document.title = next.title;
      document.body.dataset.refresh = next.body.dataset.refresh;
      for (const element of document.querySelectorAll("[data-live]")) {
        const fresh = next.getElementById(element.id);
        if (fresh && fresh.innerHTML !== element.innerHTML) replace(element, fresh);
      }
      connection.textContent = "";
    } catch {
      connection.textContent = "The app does not respond. This page may be out of date. Retrying.";
    }
    schedule();
  }

  // Keeps the focus, and what the reader has expanded, typed or checked.
  function replace(element, fresh) {
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...element.querySelectorAll("details[open]")].map((details) => details.id);
    const inputs = [...element.querySelectorAll("input[id]")];
    element.replaceChildren(...fresh.childNodes);
    for (const { id, value, checked } of inputs) {
      const input = document.getElementById(id);
      if (input) Object.assign(input, { value, checked });
    }
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? schedule() : refresh()));
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  schedule();
})();
