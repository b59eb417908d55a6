"use strict";
(() => {
  const sheet = document.body.dataset.sheet;
  const format = document.body.dataset.format;
  const store = `mien-review-${sheet}`;
  const rows = [...document.querySelectorAll(".row")];
  const byId = new Map(rows.map((row) => [row.dataset.id, row]));
  const message = document.getElementById("message");
  let shown = "all";

  const textarea = (row) => row.querySelector("textarea");
  const note = (row) => row.querySelector(".note");
  const label = (row) => [...row.querySelectorAll(".labels input:checked")].map((box) => box.value).join(", ");
  const isChanged = (row) => textarea(row).value !== textarea(row).defaultValue || label(row) !== row.dataset.label;

  function say(text, error) {
    message.textContent = text;
    message.classList.toggle("error", Boolean(error));
    message.hidden = !text;
  }

  function setLabel(row, value) {
    const wanted = value.split(",").map((part) => part.trim());
    for (const box of row.querySelectorAll(".labels input")) box.checked = wanted.includes(box.value);
  }

  function draw(row) {
    const changed = isChanged(row);
    const state = row.dataset.state || "";
    row.dataset.changed = changed ? "1" : "0";
    row.querySelector("[data-reset]").hidden = !changed;
    const words = textarea(row).value.split(/\s+/).filter(Boolean).length;
    row.querySelector(".count").textContent = words === 1 ? "1 word" : `${words} words`;
    for (const button of row.querySelectorAll("[data-verdict]")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === state));
    }
    const states = { ok: changed ? "corrected" : "right", drop: "dropped" };
    row.querySelector(".state").textContent = states[state] || (changed ? "changed, not yet marked" : "");
  }

  function fits(row) {
    const tasks = [...document.querySelectorAll("[data-show] ~ [data-task]")];
    if (tasks.some((button) => button.dataset.task === row.dataset.task && button.getAttribute("aria-pressed") === "false")) {
      return false;
    }
    return {
      all: true,
      open: !row.dataset.state,
      changed: row.dataset.changed === "1",
      drop: row.dataset.state === "drop",
      doubt: row.dataset.doubt === "1",
    }[shown];
  }

  function filter() {
    let any = false;
    for (const card of document.querySelectorAll(".card")) {
      let visible = false;
      for (const row of card.querySelectorAll(".row")) {
        row.hidden = !fits(row);
        visible = visible || !row.hidden;
      }
      card.hidden = !visible;
      any = any || visible;
    }
    document.getElementById("empty").hidden = any;
  }

  function progress() {
    const done = rows.filter((row) => row.dataset.state).length;
    const changed = rows.filter((row) => row.dataset.state === "ok" && row.dataset.changed === "1").length;
    const dropped = rows.filter((row) => row.dataset.state === "drop").length;
    document.getElementById("progress").textContent =
      `${done} of ${rows.length} checked · ${changed} corrected · ${dropped} dropped`;
    document.getElementById("meter").style.width = `${rows.length ? (100 * done) / rows.length : 0}%`;
  }

  function item(row) {
    return {
      was: row.dataset.was,
      verdict: row.dataset.state || "",
      text: textarea(row).value,
      label: label(row),
      note: note(row).value,
    };
  }

  function touched(row) {
    return row.dataset.state || row.dataset.changed === "1" || note(row).value;
  }

  function keep() {
    const items = {};
    for (const row of rows) if (touched(row)) items[row.dataset.id] = item(row);
    try {
      localStorage.setItem(store, JSON.stringify(items));
    } catch (error) {
      say("This browser keeps nothing between visits: export before you close the page.");
    }
  }

  function put(items) {
    let count = 0;
    for (const [id, saved] of Object.entries(items)) {
      const row = byId.get(id);
      if (!row || saved.was !== row.dataset.was) continue;
      textarea(row).value = saved.text;
      setLabel(row, saved.label);
      note(row).value = saved.note;
      row.dataset.state = saved.verdict;
      draw(row);
      count += 1;
    }
    progress();
    filter();
    return count;
  }

  function lack(row) {
    if (!textarea(row).value.trim()) return "has no text";
    return label(row) ? "" : "has no label";
  }

  function mark(row, verdict) {
    const wrong = verdict === "ok" ? lack(row) : "";
    if (wrong) {
      say(`${row.dataset.id} ${wrong}: give it one, or drop it.`, true);
      return;
    }
    say("");
    row.dataset.state = row.dataset.state === verdict ? "" : verdict;
    draw(row);
    progress();
    keep();
  }

  for (const row of rows) {
    row.addEventListener("input", () => {
      if (row.dataset.state === "ok" && lack(row)) row.dataset.state = "";
      draw(row);
      progress();
      keep();
    });
    row.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.verdict) mark(row, button.dataset.verdict);
      if ("reset" in button.dataset) {
        textarea(row).value = textarea(row).defaultValue;
        setLabel(row, row.dataset.label);
        draw(row);
        progress();
        keep();
      }
    });
    draw(row);
  }

  for (const button of document.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => {
      shown = button.dataset.show;
      for (const other of document.querySelectorAll("[data-show]")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      filter();
    });
  }

  for (const button of document.querySelectorAll("[data-show] ~ [data-task]")) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") === "false"));
      filter();
    });
  }

  document.getElementById("export").addEventListener("click", () => {
    const items = {};
    for (const row of rows) if (row.dataset.state) items[row.dataset.id] = item(row);
    const open = rows.filter((row) => !row.dataset.state && row.dataset.changed === "1").length;
    const content = JSON.stringify({ format, sheet, items }, null, 1);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
    link.download = `review-${sheet}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    const left = open ? ` ${open} changed but not marked: left out.` : "";
    say(`${Object.keys(items).length} of ${rows.length} exported to ${link.download}.${left}`, Boolean(open));
  });

  document.getElementById("load").addEventListener("change", async (event) => {
    const file = event.target.files[0];
    if (!file) return;
    try {
      const content = JSON.parse(await file.text());
      if (content.format !== format || !content.items) throw new Error("it is no file of corrections");
      const count = put(content.items);
      keep();
      const rest = Object.keys(content.items).length - count;
      say(`${count} corrections loaded.${rest ? ` ${rest} of other or older rows were left out.` : ""}`, rest > 0);
    } catch (error) {
      say(`${file.name} was not loaded: ${error.message}.`, true);
    }
    event.target.value = "";
  });

  try {
    put(JSON.parse(localStorage.getItem(store) || "{}"));
  } catch (error) {
    progress();
  }
  progress();
  filter();
})();
