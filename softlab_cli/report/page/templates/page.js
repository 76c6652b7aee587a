"use strict";
(() => {
  const collator = new Intl.Collator(undefined, { numeric: true });
  const off = new Set();

  const rowsOf = (table) => [...table.tBodies[0].rows].filter((row) => !row.classList.contains("detail"));
  const detailOf = (row) => {
    const next = row.nextElementSibling;
    return next && next.classList.contains("detail") ? next : null;
  };

  // ---- sorting ----

  const keyOf = (row, index, isNumber) => {
    const cell = row.cells[index];
    if (!isNumber) return cell.textContent.trim();
    return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
  };

  const sort = (head) => {
    const table = head.closest("table");
    const index = head.cellIndex;
    const isNumber = head.dataset.kind === "number";
    // Of numbers the largest come first: what is large is looked for.
    const first = isNumber ? "descending" : "ascending";
    const other = isNumber ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const rows = rowsOf(table).map((row) => [keyOf(row, index, isNumber), row, detailOf(row)]);
    const isEmpty = (key) => (isNumber ? Number.isNaN(key) : key === "");
    rows.sort(([a], [b]) => {
      if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
      return sign * (isNumber ? a - b : collator.compare(a, b));
    });
    for (const [, row, detail] of rows) table.tBodies[0].append(...(detail ? [row, detail] : [row]));
    for (const cell of head.parentElement.cells) cell.setAttribute("aria-sort", cell === head ? order : "none");
  };

  // ---- filters ----

  const filter = (form) => {
    const table = document.getElementById(form.dataset.for);
    const words = form.elements.find.value.toLowerCase();
    const only = form.elements.only ? form.elements.only.checked : false;
    const column = form.elements.column ? form.elements.column.value : "";
    const head = [...table.tHead.rows[0].cells].find((cell) => cell.textContent.trim() === column);
    const number = (name) => {
      const field = form.elements[name];
      return field && field.value !== "" ? Number(field.value) : NaN;
    };
    const [low, high] = [number("low"), number("high")];
    const isRange = head && !(Number.isNaN(low) && Number.isNaN(high));
    let left = 0;
    const rows = rowsOf(table);
    for (const row of rows) {
      let stays = row.textContent.toLowerCase().includes(words) && (!only || "marked" in row.dataset);
      if (stays && isRange) {
        const shown = keyOf(row, head.cellIndex, true);
        stays = !Number.isNaN(shown) && !(shown < low) && !(shown > high);
      }
      row.hidden = !stays;
      const detail = detailOf(row);
      if (detail) detail.hidden = !stays || detail.dataset.closed === "yes";
      left += stays;
    }
    const count = left === rows.length ? `${left}` : `${left} of ${rows.length}`;
    const things = rows.length === 1 ? form.dataset.one : form.dataset.many;
    form.querySelector("output").textContent = `${count} ${things}`;
  };

  const chooseVolume = (form) => {
    const table = document.getElementById(form.dataset.for);
    const index = table.querySelector('th[data-column="volume"]').cellIndex;
    const choice = Number(form.elements.volume.value);
    for (const row of rowsOf(table)) {
      if (!row.dataset.volumes) continue;
      const value = row.dataset.volumes.split(" ")[choice];
      row.cells[index].dataset.value = value;
      row.cells[index].textContent = value === "" ? "" : String(Number(Number(value).toPrecision(4)));
    }
  };

  // ---- details, made when they are opened first ----

  const show = (button, opened) => {
    const row = button.closest("tr");
    let detail = detailOf(row);
    if (opened && !detail) {
      const source = document.getElementById(button.dataset.opens);
      if (!source) return;
      detail = document.createElement("tr");
      detail.className = "detail";
      detail.id = `${button.dataset.opens}-shown`;
      const cell = detail.insertCell();
      cell.colSpan = row.cells.length;
      const inner = document.createElement("div");
      inner.append(source.content.cloneNode(true));
      cell.append(inner);
      row.after(detail);
      button.setAttribute("aria-controls", detail.id);
      applyLayers(detail);
    }
    if (detail) {
      detail.hidden = !opened;
      detail.dataset.closed = opened ? "no" : "yes";
      button.setAttribute("aria-expanded", String(opened));
    }
  };

  const goTo = (anchor) => {
    const row = document.getElementById(anchor);
    const button = row && row.querySelector(".opener");
    if (!button) return;
    if (row.hidden) document.querySelector(`form[data-for="${row.closest("table").id}"]`).reset();
    row.hidden = false;
    show(button, true);
    button.focus({ preventScroll: true });
    row.scrollIntoView({ block: "start" });
  };

  // ---- layers: one switch for all cases ----

  const applyLayers = (part) => {
    for (const layer of part.querySelectorAll("[data-layer]")) layer.style.display = off.has(layer.dataset.layer) ? "none" : "";
    for (const box of part.querySelectorAll("[data-switches]")) box.checked = !off.has(box.dataset.switches);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && button.classList.contains("sort")) sort(button.closest("th"));
    if (button && button.classList.contains("opener")) show(button, button.getAttribute("aria-expanded") !== "true");
    const link = event.target.closest('a[href^="#case-"]');
    if (link) {
      event.preventDefault();
      history.replaceState(null, "", link.getAttribute("href"));
      goTo(link.getAttribute("href").slice(1));
    }
  });

  document.addEventListener("input", (event) => {
    const form = event.target.closest("form.filters");
    if (!form) return;
    if (event.target.name === "volume") chooseVolume(form);
    filter(form);
  });

  document.addEventListener("submit", (event) => event.preventDefault());

  document.addEventListener("reset", (event) => {
    // The fields have their first values only after this event.
    setTimeout(() => {
      if (event.target.elements.volume) chooseVolume(event.target);
      filter(event.target);
    });
  });

  document.addEventListener("change", (event) => {
    const key = event.target.dataset.switches;
    if (!key) return;
    if (event.target.checked) off.delete(key);
    else off.add(key);
    applyLayers(document);
  });

  const asked = location.hash.slice(1);
  const opener = document.querySelector("tr[id] .opener");
  if (asked.startsWith("case-")) goTo(asked);
  else if (opener) show(opener, true);
})();
