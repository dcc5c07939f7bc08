"use strict";
// Keeps the parts that are marked data-live as the server would make them now.
(() => {
  const trouble = document.getElementById("freshness");
  let timer;

  function schedule() {
    clearTimeout(timer);
    const seconds = Number(document.body.dataset.refresh);
    if (seconds && !document.hidden) timer = setTimeout(refresh, seconds * 1000);
  }

  async function refresh() {
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) throw new Error(answer.statusText);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = next.title;
      document.body.dataset.refresh = next.body.dataset.refresh;
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = next.getElementById(part.id);
        if (fresh && fresh.innerHTML !== part.innerHTML) replace(part, fresh);
      }
      trouble.textContent = "";
    } catch {
      trouble.textContent = "The app does not answer; what you see may be old. Trying again.";
    }
    schedule();
  }

  // Whoever reads or types there must not lose their place.
  function replace(part, fresh) {
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...part.querySelectorAll("details[open]")].map((one) => one.id);
    part.replaceChildren(...fresh.childNodes);
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
