"use strict";
(() => {
  // A cell sorts by data-v, else by its figure ("$0.0070", "~1,234+?", "36 %"), else by its text; unknown is below all.
  const key = (cell) => {
    const shown = cell.dataset.v ?? cell.textContent.trim();
    const figure = shown.replace(/[<$,~+?%\s]/g, "");
    if (shown === "?" || shown === "unknown" || shown === "–") return -1;
    return figure !== "" && !Number.isNaN(Number(figure)) ? Number(figure) : shown;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const order = (table) => {
    const head = table.tHead.querySelector("th[aria-sort]");
    if (!head) return;
    const sign = head.getAttribute("aria-sort") === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row.cells[head.cellIndex]), row]);
    rows.sort((a, b) => sign * compare(a[0], b[0]));
    body.append(...rows.map((row) => row[1]));
  };
  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    for (const head of heads) {
      if (head.querySelector("button")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "descending";
        const first = head.classList.contains("n") ? "descending" : "ascending";
        const way = head.hasAttribute("aria-sort") ? (falling ? "ascending" : "descending") : first;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", way);
        order(table);
      });
    }
    order(table);
  };
  const folds = (group) => {
    const all = () => [...group.querySelectorAll(":scope > details")];
    if (all().length < 2 || group.previousElementSibling?.classList.contains("fold")) return;
    const button = document.createElement("button");
    const name = () => { button.textContent = all().every((one) => one.open) ? "Close all" : "Open all"; };
    button.type = "button";
    button.className = "button fold";
    button.addEventListener("click", () => {
      const open = !all().every((one) => one.open);
      for (const one of all()) one.open = open;
    });
    group.addEventListener("toggle", name, true);
    name();
    group.before(button);
  };
  const prepare = (root) => {
    root.querySelectorAll("table[data-sort]").forEach(sortable);
    root.querySelectorAll("[data-folds]").forEach(folds);
    window.costspanCharts?.(root);
  };
  // In the one-file report a panel is opened by its address (:target), so that it works without this script too.
  let opener = null;
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target.matches(".drawer")) {
      target.tabIndex = -1;
      target.setAttribute("role", "dialog");
      target.setAttribute("aria-label", target.querySelector(".call-title").textContent);
      target.focus({ preventScroll: true });
    }
  };
  const close = (event) => {
    if (!document.querySelector("aside.drawer:target")) return;
    event.preventDefault();
    const x = scrollX, y = scrollY;
    location.hash = "#-";
    scrollTo(x, y);
    opener?.focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    opener = event.target.closest("a.open-call") ?? opener;
    if (event.target.closest("aside.drawer .close")) close(event);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(event); });
  addEventListener("hashchange", reveal);
  document.addEventListener("toggle", (event) => { if (event.target.open) window.costspanCharts?.(event.target); }, true);
  window.costspan = { prepare };
  prepare(document);
  reveal();
})();
