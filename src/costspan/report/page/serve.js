"use strict";
(() => {
  // The panel of a call: htmx fetches it, this opens, closes and gives the focus back.
  const panel = document.getElementById("drawer");
  let opener = null;
  const close = () => {
    if (!panel.classList.contains("open")) return;
    panel.classList.remove("open");
    panel.replaceChildren();
    if (opener?.isConnected) opener.focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("#drawer .close")) return close();
    const link = event.target.closest("a.open-call");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (!panel.contains(link)) opener = link;
    htmx.ajax("GET", link.getAttribute("href"), { source: panel, target: panel, swap: "innerHTML" });
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  document.addEventListener("htmx:after:swap", (event) => {
    const target = event.detail.ctx.target;
    if (target !== panel) return window.costspan.prepare(document);
    panel.setAttribute("aria-label", panel.querySelector(".call-title")?.textContent ?? "Call");
    panel.classList.add("open");
    panel.scrollTop = 0;
    panel.focus({ preventScroll: true });
  });
})();
