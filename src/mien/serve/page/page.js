// The page: everything it knows comes from the API beside it.
const $ = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...inside) => {
  const one = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) one.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) one.setAttribute(key, value);
  }
  one.append(...inside.filter((part) => part !== null));
  return one;
};
const COLOURS = { neutral: "#8a94a3", happiness: "#e0a100", sadness: "#3f78c9", surprise: "#b453c4", fear: "#6a55c9",
  disgust: "#4e9a3f", anger: "#d1453b", contempt: "#c27a2c" };
const LETTERS = ["", "A", "B", "C", "D", "E"];
const MOST_FILES = 500;
const state = { media: null, file: null, files: [], frames: [], at: 0, face: 0, kept: null, film: null, live: null, writing: false };
let tables = { contours: [], aus: {} };

// -- asking -------------------------------------------------------------------------------------------------

const headers = () => ($("key").value ? { authorization: `Bearer ${$("key").value}` } : {});

async function ask(path, options = {}) {
  const reply = await fetch(path, { ...options, headers: headers() });
  if (reply.status === 401) $("keyed").hidden = false;
  if (!reply.ok) {
    const body = await reply.json().catch(() => null);
    throw new Error(body?.error?.message ?? `The server answered ${reply.status}.`);
  }
  return reply;
}

function form(file, fields = {}) {
  const body = new FormData();
  body.append("file", file, file.name || "picture.jpg");
  for (const one of ["landmarks_only", "cropped"]) if ($(one).checked && !(one in fields)) fields[one] = "true";
  if ($("model").value) fields.model = $("model").value;
  for (const [key, value] of Object.entries(fields)) body.append(key, value);
  return body;
}

const say = (text) => { $("status").textContent = text; };

function fail(error) {
  say("");
  $("error").textContent = error.message;
  $("error").hidden = false;
}

const guarded = (work) => async (...given) => {
  $("error").hidden = true;
  try { await work(...given); } catch (error) { fail(error); }
};

// -- taking in ----------------------------------------------------------------------------------------------

// Several files, or a folder: the first is shown, all can be chosen.
async function take(files) {
  const fit = files.filter((one) => /^(image|video)\//.test(one.type));
  if (!fit.length && files.length) { fail(new Error(`Among ${files.length} files there is no picture or clip.`)); return; }
  state.files = fit.slice(0, MOST_FILES);
  $("files").replaceChildren(...(state.files.length > 1 ? state.files : []).map((file) => make("li", {},
    make("button", { type: "button", onclick: () => open(file) }, file.name))));
  await open(state.files[0] ?? null);
  if (fit.length > MOST_FILES) say(`The first ${MOST_FILES} of ${fit.length} files are listed.`);
}

async function dropped(data) {
  const entries = [...data.items].map((one) => one.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  const walk = async (entry) => {
    if (found.length > MOST_FILES) return;
    if (entry.isFile) { found.push(await new Promise((done, failed) => entry.file(done, failed))); return; }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  const files = [...data.files];
  for (const entry of entries) await walk(entry);
  found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  await take(found.length ? found : files);
}

const open = guarded(async (file) => {
  if (!file) return;
  stop();
  [...$("files").children].forEach((one, place) => one.firstChild.setAttribute("aria-pressed", String(state.files[place] === file)));
  say(`Reading ${file.name || "the picture"} …`);
  const moving = file.type.startsWith("video/");
  const found = await (await ask("/v1/analyze", { method: "POST", body: form(file, { landmarks: "true" }) })).json();
  state.file = file;
  state.frames = found.results;
  state.at = 0;
  state.face = 0;
  state.film = null;
  $("talk").replaceChildren();
  const several = found.results.length > 1;
  if (moving) await film(file);
  else state.media = await createImageBitmap(file, { imageOrientation: "from-image" });
  $("course").hidden = !several;
  if (several) course();
  $("result").hidden = false;
  const faces = state.frames.reduce((most, one) => Math.max(most, one.faces.length), 0);
  say(faces ? `${several ? `${state.frames.length} frames, at most ` : ""}${faces} face${faces > 1 ? "s" : ""} found.`
    : "No face was found. Try a larger or more frontal picture.");
  const wanted = faces && !moving && $("explain").checked;
  state.writing = wanted;
  await show();
  if (wanted) await explain(file, found.results);
});

// Words take longer than the measurement, which is shown meanwhile.
async function explain(file, frames) {
  try {
    const fields = { landmarks: "true", explain: "true" };
    const told = await (await ask("/v1/analyze", { method: "POST", body: form(file, fields) })).json();
    if (state.frames === frames) state.frames = told.results;
  } finally {
    if (state.file === file) { state.writing = false; await show(); }
  }
}

async function film(file) {
  const video = make("video", { muted: "", playsinline: "" });
  video.muted = true;
  video.src = URL.createObjectURL(file);
  await new Promise((done) => {
    video.addEventListener("loadeddata", done, { once: true });
    video.addEventListener("error", done, { once: true });
  });
  state.film = state.media = video;
}

async function seek(time) {
  const video = state.film;
  if (!video || !Number.isFinite(video.duration)) return;
  const to = Math.min(time + 1e-3, video.duration);
  if (Math.abs(video.currentTime - to) < 1e-4) return;
  const there = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
  video.currentTime = to;
  await there;
}

// -- drawing ------------------------------------------------------------------------------------------------

function draw(canvas, frame, media = state.media) {
  const width = frame.width || media?.videoWidth || media?.width || 320;
  const height = frame.height || media?.videoHeight || media?.height || 240;
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d");
  if (media && !$("landmarks_only").checked) pen.drawImage(media, 0, 0, width, height);
  const thin = Math.max(width, height) / 500;
  frame.faces.forEach((face, number) => mark(pen, face, thin, number === state.face));
}

function mark(pen, face, thin, chosen) {
  const [left, top, right, bottom] = face.face.box;
  if ($("redact").checked) {
    const more = 0.15 * (right - left);
    pen.fillStyle = "#555";
    pen.fillRect(left - more, top - 2 * more, right - left + 2 * more, bottom - top + 3 * more);
  }
  const points = face.face.landmarks;
  if ($("mesh").checked && points) {
    pen.strokeStyle = pen.fillStyle = "#7ee7ffcc";
    pen.lineWidth = thin;
    for (const [x, y] of points) pen.fillRect(x - thin / 2, y - thin / 2, thin, thin);
    for (const ring of tables.contours) {
      pen.beginPath();
      ring.forEach((one, place) => pen[place ? "lineTo" : "moveTo"](points[one][0], points[one][1]));
      pen.stroke();
    }
  }
  const lines = $("units").checked ? Object.entries(face.aus).filter(([, one]) => one.presence)
    .sort((a, b) => b[1].intensity - a[1].intensity).slice(0, 6).map(([key, one]) => `${key} ${LETTERS[one.level]}`) : [];
  const size = Math.max(thin * 11, 11);
  pen.font = `${size}px system-ui, sans-serif`;
  if ($("boxes").checked) {
    pen.strokeStyle = COLOURS[face.emotion] ?? "#fff";
    pen.lineWidth = thin * (chosen ? 3 : 1.5);
    pen.strokeRect(left, top, right - left, bottom - top);
    label(pen, `${face.emotion} ${percent(face.emotions[face.emotion])}`, left, top - size * 1.4, size, COLOURS[face.emotion]);
  }
  lines.forEach((text, place) => label(pen, text, right + thin * 3, top + place * size * 1.5, size, "#0f131a"));
}

function label(pen, text, x, y, size, colour) {
  const wide = pen.measureText(text).width + size * 0.6;
  x = Math.max(0, Math.min(x, pen.canvas.width - wide));
  y = Math.max(0, y);
  pen.fillStyle = "#0f131ad0";
  pen.fillRect(x, y, wide, size * 1.4);
  pen.fillStyle = colour ?? "#fff";
  pen.fillRect(x, y, size * 0.2, size * 1.4);
  pen.fillStyle = "#f4f7fa";
  pen.textBaseline = "middle";
  pen.fillText(text, x + size * 0.4, y + size * 0.72);
}

const percent = (share) => (share === undefined || share === null ? "" : `${Math.round(share * 100)} %`);

// -- showing ------------------------------------------------------------------------------------------------

async function show() {
  const frame = state.frames[state.at];
  if (!frame) return;
  if (state.film) await seek(frame.time);
  draw($("canvas"), frame);
  const face = frame.faces[Math.min(state.face, frame.faces.length - 1)];
  choose(frame);
  reading(face, frame);
}

function choose(frame) {
  const buttons = frame.faces.length > 1 ? frame.faces.map((face, number) => make("button", {
    type: "button", "aria-pressed": String(number === state.face),
    onclick: () => { state.face = number; show(); },
  }, `Face ${number + 1}: ${face.emotion}`)) : [];
  if ($("faces").childElementCount !== buttons.length || !state.live) $("faces").replaceChildren(...buttons);
}

function reading(face, frame) {
  $("emotion").textContent = face ? `Looks like ${face.emotion || "nothing that can be told"}` : "No face here";
  const limits = Object.values(face?.face.quality?.flags ?? {});
  $("quality").textContent = frame.error ?? (limits.length ? `Read with care: ${limits.join("; ")}.` : "");
  bars(face?.emotions ?? {});
  units(face?.aus ?? {});
  explanation(face);
}

function bars(emotions) {
  const before = state.kept?.emotions;
  $("emotions").replaceChildren(...Object.entries(emotions).flatMap(([name, share]) => [
    make("b", {}, name), track(share, COLOURS[name]),
    make("span", {}, percent(share) + (before ? ` (before ${percent(before[name])})` : "")),
  ]));
}

function track(share, colour) {
  const fill = make("i");
  fill.style.width = `${100 * (share ?? 0)}%`;
  if (colour) fill.style.background = colour;
  return make("div", { class: "track", "aria-hidden": "true" }, fill);
}

function units(aus) {
  document.querySelectorAll(".other").forEach((one) => { one.hidden = !state.kept; });
  $("aus").tBodies[0].replaceChildren(...Object.entries(aus).map(([key, one]) => make("tr", { class: one.presence ? "present" : null },
    make("th", { scope: "row" }, key), make("td", {}, tables.aus[key] ?? ""),
    make("td", {}, make("div", { class: "value" }, track(one.intensity), one.intensity === null ? "–" : one.intensity.toFixed(2))),
    make("td", {}, LETTERS[one.level] || (one.intensity === null ? "hidden" : "–")),
    state.kept ? make("td", {}, state.kept.aus[key]?.intensity?.toFixed(2) ?? "–") : null)));
}

function explanation(face) {
  $("measured").textContent = "";
  const told = face?.explanation;
  const place = $("explanation");
  if (!told) { place.replaceChildren(make("p", { class: "quiet" }, state.writing ? "Being written …" : state.film ? "Clips are not explained; ask below." : "None was asked for.")); return; }
  const parts = [];
  let from = 0;
  for (const claim of [...told.claims].sort((a, b) => a.start - b.start)) {
    if (claim.start < from) continue;
    parts.push(told.text.slice(from, claim.start), make("span", {
      role: "button", tabindex: "0", class: `claim ${claim.verdict}`, onclick: () => measured(claim, face),
      onfocus: () => measured(claim, face), onkeydown: (event) => { if (event.key === "Enter") measured(claim, face); },
    }, told.text.slice(claim.start, claim.end)));
    from = claim.end;
  }
  parts.push(told.text.slice(from));
  const rows = [make("p")];
  for (const part of parts) {
    if (typeof part !== "string") { rows.at(-1).append(part); continue; }
    part.split("\n\n").forEach((text, number) => { if (number) rows.push(make("p")); rows.at(-1).append(text); });
  }
  place.replaceChildren(...rows);
}

function measured(claim, face) {
  const one = face.aus[claim.au];
  const value = !one || one.intensity === null ? "not measured" : `${one.intensity.toFixed(2)} (${LETTERS[one.level] ? `level ${LETTERS[one.level]}` : "absent"})`;
  $("measured").textContent = `${claim.au} ${tables.aus[claim.au] ?? ""}: ${value}. The statement is ${claim.verdict}.`;
}

// -- the course of a clip -----------------------------------------------------------------------------------

function course() {
  const frames = state.frames;
  $("scrub").max = frames.length - 1;
  $("scrub").value = 0;
  const names = Object.keys(frames.find((one) => one.faces.length)?.faces[0].emotions ?? {});
  const lines = names.map((name) => {
    const points = frames.map((one, place) => {
      const share = one.faces[0]?.emotions[name];
      return share === undefined || share === null ? null : `${(1000 * place) / Math.max(1, frames.length - 1)},${116 - 112 * share}`;
    }).filter(Boolean).join(" ");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    for (const [key, value] of Object.entries({ points, fill: "none", stroke: COLOURS[name], "stroke-width": 2, "vector-effect": "non-scaling-stroke" })) line.setAttribute(key, value);
    return line;
  });
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "line");
  mark.id = "mark";
  for (const [key, value] of Object.entries({ y1: 0, y2: 120, stroke: "currentColor", "vector-effect": "non-scaling-stroke" })) mark.setAttribute(key, value);
  $("timeline").replaceChildren(...lines, mark);
  $("legend").replaceChildren(...names.map((name) => { const one = make("span", {}, name); one.style.setProperty("--c", COLOURS[name]); return one; }));
  moments();
  scrub(0);
}

function moments() {
  // Where another emotion begins to lead for a while, at most twelve of them.
  const leads = state.frames.map((frame) => frame.faces[0]?.emotion ?? null);
  const found = [];
  let last = null;
  leads.forEach((now, place) => {
    if (now === null || now === last || leads.slice(place, place + 5).some((one) => one !== now)) return;
    found.push(place);
    last = now;
  });
  const chosen = found.filter((_, number) => number % Math.ceil(found.length / 12 || 1) === 0);
  const items = chosen.map((place) => {
    const frame = state.frames[place];
    const thumb = make("canvas", { width: 96, height: Math.round((96 * frame.height) / frame.width) || 72, "aria-hidden": "true" });
    return { place, thumb, item: make("li", {}, make("button", { type: "button", onclick: () => scrub(place) }, thumb, make("br"), `${frame.faces[0].emotion} ${frame.time.toFixed(1)} s`)) };
  });
  $("events").replaceChildren(...items.map((one) => one.item));
  if (state.film && !$("landmarks_only").checked && !$("redact").checked) thumbs(items);
}

async function thumbs(items) {
  const film = state.film;
  for (const { place, thumb } of items) {
    await seek(state.frames[place].time);
    if (state.film !== film) return;
    thumb.getContext("2d").drawImage(film, 0, 0, thumb.width, thumb.height);
  }
  await show();
}

function scrub(place) {
  state.at = place;
  $("scrub").value = place;
  $("now").textContent = `${state.frames[place].time.toFixed(2)} s`;
  const x = (1000 * place) / Math.max(1, state.frames.length - 1);
  const mark = document.getElementById("mark");
  mark?.setAttribute("x1", x);
  mark?.setAttribute("x2", x);
  show();
}

// -- the camera ---------------------------------------------------------------------------------------------

const camera = guarded(async () => {
  if (state.live) { stop(); return; }
  if (!navigator.mediaDevices) throw new Error("This browser gives no camera to this address: open it as localhost or over https.");
  const film = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  const video = make("video", { playsinline: "" });
  video.muted = true;
  video.srcObject = film;
  await video.play();
  const query = new URLSearchParams({ landmarks: "true", landmarks_only: String($("landmarks_only").checked), model: $("model").value });
  const protocols = $("key").value ? ["mien", `bearer.${$("key").value}`] : ["mien"];
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/v1/stream?${query}`, protocols);
  const still = document.createElement("canvas");
  state.live = { film, socket };
  state.film = null;
  state.file = null;
  $("camera").setAttribute("aria-pressed", "true");
  $("camera").textContent = "Stop the camera";
  $("course").hidden = true;
  const began = performance.now();
  let sent = 0;
  const send = () => {
    if (socket.readyState !== WebSocket.OPEN) return;
    still.width = video.videoWidth;
    still.height = video.videoHeight;
    still.getContext("2d").drawImage(video, 0, 0);
    still.toBlob((blob) => {
      if (!blob || socket.readyState !== WebSocket.OPEN) return;
      sent = performance.now();
      socket.send(JSON.stringify({ time: (sent - began) / 1000 }));
      socket.send(blob);
      state.file = new File([blob], "camera.jpg", { type: "image/jpeg" });
    }, "image/jpeg", 0.85);
  };
  socket.onopen = send;
  socket.onclose = () => stop();
  socket.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    if (frame.error?.message) { fail(new Error(frame.error.message)); return; }
    state.frames = [frame];
    state.at = 0;
    state.media = still;
    $("result").hidden = false;
    show();
    say(`Live: ${frame.faces.length} face${frame.faces.length === 1 ? "" : "s"}, ${Math.round(performance.now() - sent)} ms from picture to table.`);
    requestAnimationFrame(send);
  };
});

function stop() {
  const live = state.live;
  if (!live) return;
  state.live = null;
  live.film.getTracks().forEach((one) => one.stop());
  live.socket.close();
  $("camera").setAttribute("aria-pressed", "false");
  $("camera").textContent = "Use the camera";
  say("The camera is off.");
}

// -- questions, downloads -----------------------------------------------------------------------------------

const question = guarded(async (event) => {
  event.preventDefault();
  const text = $("question").value.trim();
  if (!text || !state.file) return;
  $("question").value = "";
  $("talk").append(make("li", { class: "question" }, text));
  const reply = await ask("/v1/ask", { method: "POST", body: form(state.file, { question: text }) });
  const answer = await reply.json();
  $("talk").append(make("li", {}, answer.status === "declined" ? `${answer.text} (declined)` : answer.text));
});

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const download = guarded(async (what) => {
  if (!state.file) return;
  if (what === "json") {
    save(new Blob([JSON.stringify({ results: state.frames }, null, 1)], { type: "application/json" }), "faces.json");
    return;
  }
  const fields = { format: "csv", explain: String($("explain").checked), redact: String($("redact").checked), [what]: "true" };
  delete fields.csv;
  say("Making the file …");
  let job = await (await ask("/v1/jobs", { method: "POST", body: form(state.file, fields) })).json();
  while (job.state === "waiting" || job.state === "running") {
    await new Promise((done) => setTimeout(done, 400));
    job = await (await ask(`/v1/jobs/${job.id}`)).json();
    say(`Making the file: ${job.frames} of ${job.frames_expected} frames …`);
  }
  const name = job.files.find((one) => (what === "csv" ? one === "faces.csv" : one.startsWith(what)));
  if (!name) throw new Error(job.error ?? "There is no such file: a landmarks-only server keeps no pictures.");
  save(await (await ask(`/v1/jobs/${job.id}/files/${name.split("/").map(encodeURIComponent).join("/")}`)).blob(), name.split("/").at(-1));
  await ask(`/v1/jobs/${job.id}`, { method: "DELETE" });
  say("Done.");
});

function keep() {
  const frame = state.frames[state.at];
  const face = frame?.faces[Math.min(state.face, frame.faces.length - 1)];
  state.kept = state.kept ? null : face ?? null;
  $("keep").textContent = state.kept ? "End the comparison" : "Compare with the next";
  show();
}

// -- the beginning ------------------------------------------------------------------------------------------

async function begin() {
  tables = await (await fetch("tables.json")).json();
  const found = await (await ask("/v1/models")).json();
  $("model").replaceChildren(...found.data.map((one) => make("option", {}, one.id)));
}

$("file").addEventListener("change", (event) => { take([...event.target.files]); event.target.value = ""; });
$("camera").addEventListener("click", camera);
$("scrub").addEventListener("input", (event) => scrub(Number(event.target.value)));
$("ask").addEventListener("submit", question);
$("keep").addEventListener("click", keep);
$("key").addEventListener("change", guarded(begin));
document.querySelectorAll("[data-get]").forEach((one) => one.addEventListener("click", () => download(one.dataset.get)));
for (const one of ["mesh", "boxes", "units", "redact"]) $(one).addEventListener("change", () => show());
for (const one of ["landmarks_only", "cropped", "explain", "model"]) $(one).addEventListener("change", () => { if (state.file && !state.live) open(state.file); });
document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) take([...event.clipboardData.files]); });
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") guarded(dropped)(event.dataTransfer);
  });
}
guarded(begin)();
