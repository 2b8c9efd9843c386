"use strict";
(() => {
  const panel = document.getElementById("drawer");
  let opener = null;
  const close = () => {
    if (!panel.classList.contains("open")) return;
    panel.classList.remove("open");
    panel.replaceChildren();
    if (opener && opener.isConnected) opener.focus();
    if (waiting) refresh();
  };
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a.open-call");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    const answer = await fetch(link.href, { headers: { "X-Partial": "1" } });
    if (!answer.ok) { location.href = link.href; return; }
    opener = link;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "close plain";
    button.textContent = "×";
    button.setAttribute("aria-label", "Close");
    button.addEventListener("click", close);
    panel.replaceChildren(button);
    panel.insertAdjacentHTML("beforeend", await answer.text());
    panel.setAttribute("aria-label", panel.querySelector("h3").textContent);
    panel.classList.add("open");
    panel.focus();
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  document.querySelectorAll("form.filter select").forEach((field) => {
    if (field.form.getAttribute("action") === "/runs") field.addEventListener("change", () => field.form.submit());
  });
  let waiting = false;
  let busy = false;
  const names = (root) => [...root.querySelectorAll("details")].map((one) => (one.querySelector("summary > .what") ?? one.querySelector("summary")).textContent);
  async function refresh() {
    const main = document.getElementById("main");
    if (busy || panel.classList.contains("open") || main.querySelector("input:focus, select:focus")) { waiting = true; return; }
    busy = true;
    waiting = false;
    try {
      const answer = await fetch(location.href);
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = new Set(names(main).filter((name, place) => main.querySelectorAll("details")[place].open));
      const sorts = [...main.querySelectorAll("table")].map((one) => {
        const head = one.querySelector("th[aria-sort] button");
        return head && [head.parentElement.cellIndex, head.parentElement.getAttribute("aria-sort")];
      });
      main.replaceChildren(...fresh.getElementById("main").childNodes);
      const keep = names(main);
      main.querySelectorAll("details").forEach((one, place) => { if (open.has(keep[place])) one.open = true; });
      costspan.prepare(main);
      main.querySelectorAll("table").forEach((one, place) => {
        const sort = sorts[place];
        const button = sort && one.tHead.rows[0].cells[sort[0]].querySelector("button");
        for (let tries = 0; button && tries < 2 && button.parentElement.getAttribute("aria-sort") !== sort[1]; tries++) button.click();
      });
      if (!fresh.body.hasAttribute("data-live") && source) source.close();
    } finally {
      busy = false;
    }
    if (waiting) setTimeout(refresh, 500);
  }
  let source = null;
  if (document.body.hasAttribute("data-live")) {
    source = new EventSource("/live");
    source.addEventListener("message", refresh);
  }
})();
