// Sorting and filtering; everything is readable without it.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Sortable columns: a button in each header, aria-sort on the sorted one.
  for (const table of all("table[data-sortable]")) {
    const body = table.tBodies[0];
    const headers = all("thead th[data-kind]", table);
    for (const header of headers) {
      const button = document.createElement("button");
      button.type = "button";
      if (header.querySelector(".name")) button.append(...header.childNodes);
      else {
        const name = document.createElement("span");
        name.className = "name";
        name.append(...header.childNodes);
        button.append(name);
      }
      header.append(button);
      const column = Number(header.dataset.column ?? header.cellIndex);
      button.addEventListener("click", () => {
        const now = header.getAttribute("aria-sort");
        const first = header.dataset.first ?? "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const next = now === first ? other : first;
        for (const each of headers) each.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const key = (row) => row.cells[column].dataset.sort;
        const compare = header.dataset.kind === "number"
          ? (a, b) => Number(a) - Number(b)
          : (a, b) => a.localeCompare(b, "en");
        const rows = [...body.rows];
        rows.sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          // What was not measured stays at the end, either way.
          if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
          return sign * compare(x, y);
        });
        body.append(...rows);
      });
    }
  }

  const form = document.querySelector(".filter");
  if (!form) return;
  const articles = all("article.language");
  const marked = all("[data-code]");
  const fit = () => document.documentElement.style.setProperty("--filter", `${form.offsetHeight}px`);
  const apply = () => {
    const value = (name) => form.elements[name]?.value ?? "";
    const words = value("text").toLowerCase().normalize("NFC").split(/\s+/).filter(Boolean);
    const script = value("script");
    const family = value("family");
    const verdicts = new Set(all("input[name=verdict]:checked", form).map((box) => box.value));
    const model = document.querySelector("input[name=model]:checked")?.value ?? "0";
    const shown = new Set();
    for (const { dataset } of articles) {
      const verdict = dataset.verdicts.split(" ").find((pair) => pair.startsWith(`${model}:`))?.slice(model.length + 1);
      if (words.every((word) => dataset.search.includes(word))
        && (!script || dataset.script === script)
        && (!family || dataset.family === family)
        && (verdict === undefined || verdicts.has(verdict))) shown.add(dataset.code);
    }
    for (const element of marked) element.toggleAttribute("data-off", !shown.has(element.dataset.code));
    form.querySelector("output").value = shown.size === articles.length
      ? `${articles.length} languages` : `${shown.size} of ${articles.length} languages`;
    form.querySelector("button[type=reset]").hidden = shown.size === articles.length;
    fit();
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  for (const radio of all("input[name=model]")) radio.addEventListener("change", apply);
  addEventListener("resize", fit);
  apply();
})();
