// A click on a header sorts a table; the filters apply to the arms and the runs. Both are stored in the page's address,
// so that a page that reloads itself, or is sent to another reader, looks the same.
"use strict";
{
  const form = document.querySelector("form");
  const fields = [...form.querySelectorAll("[name]")];
  const tables = [...document.querySelectorAll("table")].map((element) => ({
    element,
    headers: [...element.tHead.rows[0].cells],
    rows: [...element.tBodies[0].rows].map((row) => ({
      row,
      text: row.textContent.toLowerCase(),
      keys: [...row.cells].map(sortKey),
    })),
    sort: "",
  }));

  // Returns the cell's number, null if its value is missing, or else its text.
  function sortKey(cell) {
    const value = cell.dataset.v;
    if (value === undefined) return cell.textContent;
    return value === "" ? null : Number(value);
  }

  // Numbers come before texts; missing values come last in both directions.
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
  }

  // `how` is a column and a direction such as `3d`; an empty text restores the order of the sweep.
  function sort(table, how) {
    table.sort = how;
    const column = parseInt(how, 10);
    const down = how.endsWith("d");
    const rows = [...table.rows];
    if (how) rows.sort((a, b) => compare(a.keys[column], b.keys[column], down ? -1 : 1));
    table.element.tBodies[0].append(...rows.map(({ row }) => row));
    table.headers.forEach((header, i) => {
      if (how && i === column) header.setAttribute("aria-sort", down ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
  }

  // A level is matched by its text, a range of numbers by its bounds.
  function chosen(cell, { value, dataset: { low, high } }) {
    if (low === undefined) return cell.textContent === value;
    const number = cell.dataset.v;
    return Boolean(number) && Number(low) <= Number(number) && Number(number) <= Number(high);
  }

  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/);
    const options = fields.filter((field) => field.dataset.column && field.value);
    const counts = tables.filter(({ element }) => "filtered" in element.dataset).map(({ element, rows }) => {
      let shown = 0;
      for (const { row, text } of rows) {
        row.hidden = !(
          words.every((word) => text.includes(word)) &&
          options.every((field) => chosen(row.cells[Number(field.dataset.column)], field.selectedOptions[0]))
        );
        shown += !row.hidden;
      }
      return `${shown} of ${rows.length} ${element.id}`;
    });
    form.querySelector("output").textContent = counts.join(", ");
  }

  function remember() {
    const state = new URLSearchParams();
    for (const { name, value } of fields) if (value) state.set(name, value);
    for (const { element, sort } of tables) if (sort) state.set(`sort-${element.id}`, sort);
    history.replaceState(null, "", `#${state}`);
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const field of fields) field.value = state.get(field.name) ?? "";
    for (const field of fields) if (field.selectedIndex === -1) field.value = "";
    for (const table of tables) {
      const how = state.get(`sort-${table.element.id}`) ?? "";
      sort(table, /^\d+[ad]$/.test(how) && parseInt(how, 10) < table.headers.length ? how : "");
    }
    filter();
  }

  for (const table of tables) {
    table.headers.forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        sort(table, table.sort === `${column}a` ? `${column}d` : `${column}a`);
        remember();
      });
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => (filter(), remember()));
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    history.replaceState(null, "", "#");
    recall();
  });
  addEventListener("hashchange", recall);
  recall();
}
