"use strict";
(() => {
  const text = (cell) => {
    const shown = cell.textContent.trim();
    return cell.dataset.v ?? (/^[\d,]+$/.test(shown) ? shown.replaceAll(",", "") : shown);
  };
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : a.localeCompare(b);
  };
  const sortable = (table) => {
    if (table.dataset.sort === "on") return;
    table.dataset.sort = "on";
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "descending";
        const first = head.classList.contains("n") ? "descending" : "ascending";
        const way = head.hasAttribute("aria-sort") ? (falling ? "ascending" : "descending") : first;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", way);
        const sign = way === "ascending" ? 1 : -1;
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [text(row.cells[place]), row]);
        rows.sort((a, b) => sign * compare(a[0], b[0]));
        body.append(...rows.map((row) => row[1]));
      });
    });
  };
  const folds = (group) => {
    if (group.dataset.folds === "on") return;
    group.dataset.folds = "on";
    const all = [...group.querySelectorAll(":scope > details")];
    if (all.length < 2) return;
    const button = document.createElement("button");
    const name = () => { button.textContent = all.every((one) => one.open) ? "Close all" : "Open all"; };
    button.type = "button";
    button.className = "fold";
    button.addEventListener("click", () => {
      const open = !all.every((one) => one.open);
      all.forEach((one) => { one.open = open; });
    });
    all.forEach((one) => one.addEventListener("toggle", name));
    name();
    group.before(button);
  };
  const prepare = (root) => {
    root.querySelectorAll("table[data-sort]").forEach(sortable);
    root.querySelectorAll("[data-folds]").forEach(folds);
  };
  let opener = null;
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target.matches(".drawer")) {
      target.tabIndex = -1;
      target.setAttribute("role", "dialog");
      target.setAttribute("aria-label", target.querySelector("h3").textContent);
      target.focus({ preventScroll: true });
    }
  };
  const close = (event) => {
    const drawer = document.querySelector("aside.drawer:target");
    if (!drawer) return;
    event.preventDefault();
    const x = scrollX, y = scrollY;
    location.hash = "#-";
    scrollTo(x, y);
    if (opener) opener.focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.open-call");
    if (link) opener = link;
    if (event.target.closest("aside.drawer .close")) close(event);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(event); });
  addEventListener("hashchange", reveal);
  prepare(document);
  reveal();
  window.costspan = { prepare };
})();
