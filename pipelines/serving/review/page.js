"use strict";
const $ = (id) => document.getElementById(id);
const VERDICTS = [["confirmed", "Confirmed", "c"], ["expected", "Expected", "e"], ["false_alarm", "False alarm", "f"], ["new_trend", "New trend", "n"]];
const SVG = "http://www.w3.org/2000/svg";
let token = sessionStorage.getItem("token") || "", reviewer = sessionStorage.getItem("reviewer") || "";
let alerts = [], current = null, shown = null, asked = 0;

// Everything that others wrote goes into the page as text: there is no markup made of it anywhere.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "click") node.addEventListener("click", value); else node.setAttribute(name, value);
  }
  node.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return node;
}
function draw(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(Number(value).toPrecision(3)));
}
const time = (text) => (text ? String(text).replace("T", " ").slice(0, 16) : "–");
const day = (text) => time(text).slice(5);

async function ask(method, path, body) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body ? JSON.stringify(body) : undefined });
  } catch (problem) {
    throw new Error("the service does not answer");
  }
  const told = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (answer.status === 401) { enter(); throw new Error(token ? told.error : "enter a token"); }
  if (!answer.ok) throw new Error(told.error || `status ${answer.status}`);
  return told;
}
function tell(problem) {
  $("problem").textContent = problem ? String(problem.message || problem) : "";
  $("problem").hidden = !problem;
}
const guarded = (work) => async (...given) => {
  tell("");
  try { await work(...given); } catch (problem) { tell(problem); }
};
function enter() { $("enter").hidden = false; $("desk").hidden = true; $("token").focus(); }

function query() {
  const found = new URLSearchParams();
  for (const name of ["q", "level", "kind"]) if ($(name).value) found.set(name, $(name).value);
  const which = $("state").value;
  if (which === "mine") found.set("assigned", reviewer);
  if (which === "all") found.set("all", "1");
  if (which === "capped") found.set("state", "capped");
  else if (which !== "all") found.set("state", "open,closed");
  if (reviewer) found.set("reviewer", reviewer);
  return found.toString();
}
const load = guarded(async () => {
  const turn = ++asked;
  const told = await ask("GET", `alerts?${query()}`);
  if (turn !== asked) return;
  if (told.reviewer) reviewer = told.reviewer;
  $("enter").hidden = true; $("desk").hidden = false;
  $("me").textContent = reviewer || "who are you?";
  alerts = told.alerts;
  list();
  await figures();
});
async function figures() {
  const told = await ask("GET", "precision");
  const share = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
  const parts = [`${told.waiting} to review`, `precision so far ${share(told.precision)} of ${told.confirmed + told.false_alarm}`];
  if (told.missed.reviewed) parts.push(`missed, by ${told.missed.reviewed} samples: about ${number(told.missed.estimated)}`);
  if (told.agreement.incidents) parts.push(`two reviewers agree on ${share(told.agreement.share)} of ${told.agreement.incidents}`);
  if (told.order) parts.push(`learnt order: ${told.order.told}`);
  if (told.unusual.judged < told.unusual.until) parts.push(`the most unusual of each day are shown until ${told.unusual.until} outliers are judged: ${told.unusual.judged} so far`);
  $("figures").textContent = parts.join(" · ");
}
function list() {
  const rows = alerts.map((alert) => {
    const tags = [make("span", { class: "tag" }, alert.level)];
    if (alert.kind === "sample") tags.push(make("span", { class: "tag" }, "sample of non-alerts"));
    if (alert.kind === "unusual") tags.push(make("span", { class: "tag" }, "not found by the test"));
    if (alert.wants === "second review") tags.push(make("span", { class: "tag" }, "second opinion"));
    if (alert.assigned_to) tags.push(make("span", { class: "tag" }, `for ${alert.assigned_to}`));
    if (alert.verdict) tags.push(make("span", { class: "tag" }, alert.verdict.replace("_", " ")));
    const about = `${alert.reason ? `${alert.reason} · ` : ""}${day(alert.window_start)} · severity ${number(alert.severity)}`;
    return make("li", { class: alert.level, tabindex: "0", "data-id": alert.incident_id, "aria-current": String(alert.incident_id === current), click: () => open(alert.incident_id) },
      make("div", { class: "title" }, alert.title), make("div", { class: "small" }, about), make("div", {}, ...tags));
  });
  $("queue").replaceChildren(...rows);
  $("empty").hidden = rows.length > 0;
  $("empty").textContent = $("q").value || $("level").value || $("kind").value ? "Nothing fits these filters." : "Nothing to review: all is quiet.";
}
const open = guarded(async (id) => {
  current = id;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  list();
  $("desk").classList.add("one");
  $("detail").replaceChildren(make("p", { class: "small" }, "Loading …"));
  const told = await ask("GET", `alerts/${encodeURIComponent(id)}`);
  if (current === id) { shown = told; detail(); }
});
function close() {
  current = shown = null;
  history.replaceState(null, "", location.pathname);
  $("desk").classList.remove("one");
  $("detail").replaceChildren(make("p", { class: "small" }, "Choose an incident."));
  list();
}
function key() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
const judge = guarded(async (verdict) => {
  if (!shown) return;
  const at = alerts.findIndex((alert) => alert.incident_id === shown.incident_id);
  const reason = $("reason") ? $("reason").value : "";
  await ask("POST", `alerts/${encodeURIComponent(shown.incident_id)}/review`, { verdict, reason, reviewer, key: key() });
  await load();
  const next = alerts[Math.min(Math.max(at, 0), alerts.length - 1)];
  if (next) await open(next.incident_id); else close();
});
const assign = guarded(async (to) => {
  if (!shown) return;
  await ask("POST", `alerts/${encodeURIComponent(shown.incident_id)}/assign`, { to, reviewer, key: key() });
  await load();
  await open(shown.incident_id);
});
const silence = guarded(async () => {
  const member = shown.members[0];
  const matchers = shown.kind === "drop" ? { metric: member.entity_id.split("@")[0], segment: member.entity_id.split("@")[1] || "all" } : { key: `${member.entity}=${member.entity_id}` };
  const hours = Number($("hours").value), why = $("reason").value;
  await ask("POST", "silences", { matchers, hours, why, reviewer });
  $("hours").value = "";
  $("silenced").textContent = `Silenced for ${hours} h: ${Object.entries(matchers).map((pair) => pair.join(" = ")).join(", ")}`;
});

function range(reason) {
  const low = Math.min(reason.low, reason.value), high = Math.max(reason.high, reason.value);
  const width = 360, span = high - low || 1, x = (value) => 10 + (width - 20) * (value - low) / span;
  const plot = draw("svg", { viewBox: `0 0 ${width} 30`, role: "img", "aria-label": `${reason.name}: ${number(reason.value)}, usual ${number(reason.low)} to ${number(reason.high)}` });
  plot.append(draw("line", { x1: 10, x2: width - 10, y1: 10, y2: 10, class: "axis" }));
  plot.append(draw("rect", { x: x(reason.low), y: 5, width: Math.max(3, x(reason.high) - x(reason.low)), height: 10, rx: 2, class: "band" }));
  plot.append(draw("circle", { cx: x(reason.value), cy: 10, r: 5, class: "mark" }));
  const place = x(reason.value), end = place > width * .7;
  plot.append(draw("text", { x: end ? Math.min(place + 5, width) : Math.max(place - 5, 0), y: 28, "text-anchor": end ? "end" : "start" }, number(reason.value)));
  return plot;
}
function timeline(events, from, until) {
  const kinds = [...new Set(events.map((event) => event.event_type))].sort(), width = 600, left = 110, height = 18 * kinds.length + 22;
  const times = events.map((event) => Date.parse(event.event_time)), first = Math.min(...times, from), last = Math.max(...times, until);
  const x = (at) => left + (width - left - 10) * (at - first) / (last - first || 1);
  const plot = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${events.length} events` });
  plot.append(draw("rect", { x: x(from), y: 0, width: Math.max(2, x(until) - x(from)), height: height - 18, class: "hit" }));
  kinds.forEach((kind, row) => plot.append(draw("text", { x: 0, y: 18 * row + 14 }, kind.slice(0, 18))));
  events.forEach((event, n) => plot.append(draw("circle", { cx: x(times[n]), cy: 18 * kinds.indexOf(event.event_type) + 10, r: 3, class: "dot" })));
  plot.append(draw("text", { x: left, y: height - 4 }, time(new Date(first).toISOString())), draw("text", { x: width - 10, y: height - 4, "text-anchor": "end" }, time(new Date(last).toISOString())));
  return plot;
}
function series(points, from, until) {
  const width = 600, height = 150, left = 45, at = (point) => Date.parse(point.window_start);
  const known = points.flatMap((p) => [p.value, p.low, p.high]).filter((v) => v !== null && v !== undefined), top = Math.max(...known, 1), bottom = Math.min(...known, 0);
  const first = at(points[0]), last = at(points[points.length - 1]);
  const x = (t) => left + (width - left - 10) * (t - first) / (last - first || 1), y = (v) => 10 + (height - 35) * (1 - (v - bottom) / (top - bottom || 1));
  const plot = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "the metric and what was expected" });
  const band = points.filter((p) => p.low !== null && p.high !== null && p.low !== undefined);
  if (band.length) plot.append(draw("polygon", { class: "band", points: [...band.map((p) => `${x(at(p))},${y(p.high)}`), ...band.reverse().map((p) => `${x(at(p))},${y(p.low)}`)].join(" ") }));
  plot.append(draw("rect", { x: x(from), y: 10, width: Math.max(2, x(until) - x(from)), height: height - 35, class: "hit" }));
  plot.append(draw("polyline", { class: "line", points: points.filter((p) => p.value !== null).map((p) => `${x(at(p))},${y(p.value)}`).join(" ") }));
  plot.append(draw("text", { x: 0, y: 18 }, number(top)), draw("text", { x: 0, y: height - 25 }, number(bottom)));
  plot.append(draw("text", { x: left, y: height - 6 }, time(points[0].window_start)), draw("text", { x: width - 10, y: height - 6, "text-anchor": "end" }, time(points[points.length - 1].window_start)));
  return plot;
}
function detail() {
  const a = shown, from = Date.parse(a.window_start), until = Date.parse(a.window_end), parts = [];
  parts.push(make("button", { class: "back", type: "button", click: close }, "‹ Queue"));
  parts.push(make("h2", {}, a.title));
  const about = [`${a.level}, severity ${number(a.severity)}`, `p ${number(a.p)}`, `at stake ${number(a.exposure)}`, `${time(a.window_start)} to ${time(a.window_end).slice(11)} UTC`, a.state];
  parts.push(make("p", { class: "small" }, about.join(" · ")));
  if (a.kind === "sample") parts.push(make("p", {}, "A window that was not found unusual, drawn by chance: is something wrong with it all the same?"));
  if (a.kind === "unusual") parts.push(make("p", {}, "Among the most unusual of its day; no test has found it. Verdicts on these show what is wrong and what is usual, so that the test can find it."));
  if (a.trust < 1) parts.push(make("p", { class: "small" }, `Reviewers found most incidents of this pattern false: ${a.pattern}`));
  parts.push(make("div", { class: "verdicts" }, ...VERDICTS.map(([verdict, word, letter]) => make("button", { type: "button", "data-verdict": verdict, title: `key ${letter}`, click: () => judge(verdict) }, word))));
  parts.push(make("div", { class: "row" }, make("input", { id: "reason", placeholder: "Reason (goes with the verdict)", "aria-label": "reason", maxlength: "2000" })));
  parts.push(make("div", { class: "row" }, make("button", { type: "button", click: () => assign(reviewer) }, "To me"), make("input", { id: "to", placeholder: a.assigned_to ? `for ${a.assigned_to}` : "to somebody", "aria-label": "assign to", maxlength: "100" }), make("button", { type: "button", click: () => assign($("to").value) }, "Assign")));
  parts.push(make("div", { class: "row" }, make("input", { id: "hours", type: "number", min: "0", placeholder: "hours", "aria-label": "hours of silence" }), make("button", { type: "button", click: silence }, "Silence, with the reason above")), make("p", { class: "small", id: "silenced" }));
  parts.push(make("h3", {}, "Why"));
  for (const reason of a.reasons || []) {
    const words = make("div", {}, make("b", {}, reason.name), make("div", { class: "small" }, `${number(reason.value)}; usual ${number(reason.low)} to ${number(reason.high)}${a.entities > 1 ? `; of ${Math.round(100 * reason.share)} % of the entities` : ""}`));
    parts.push(make("div", { class: "reason" }, words, range(reason)));
  }
  if (!(a.reasons || []).length) parts.push(make("p", { class: "small" }, "No reasons were given."));
  if ((a.series || []).length) parts.push(make("h3", {}, a.series_of), series(a.series, from, until));
  if ((a.segments || []).length || (a.causes || []).length) {
    parts.push(make("h3", {}, "Segments"), make("p", {}, [...(a.causes || []).map((c) => `${c.segment} (${Math.round(100 * c.share)} % of the change)`), ...(a.segments || [])].join(", ")));
  }
  if ((a.links || []).length) parts.push(make("h3", {}, "Shared"), make("p", {}, a.links.map((l) => `${l.kind} ${l.value} by ${l.entities}`).join(", ")));
  if ((a.events || []).length) {
    parts.push(make("h3", {}, `What ${a.events_of.entity} ${a.events_of.entity_id} did`), timeline(a.events, from, until));
    const rows = a.events.slice(-12).reverse().map((e) => make("tr", {}, make("td", {}, day(e.event_time)), make("td", {}, e.event_type), make("td", {}, e.item_id || e.query || ""), make("td", {}, e.price_minor ? `${(e.price_minor / 100).toFixed(2)} ${e.currency || ""}` : e.source || "")));
    parts.push(make("table", {}, ...rows));
  }
  parts.push(make("h3", {}, `Entities: ${a.entities}`), make("div", { class: "many" }, ...(a.members || []).slice(0, 20).map((m) => make("button", { type: "button", click: () => past(m) }, `${m.entity} ${m.entity_id}`))), make("div", { id: "past" }));
  if ((a.reviews || []).length) parts.push(make("h3", {}, "Said so far"), make("table", {}, ...a.reviews.map((r) => make("tr", {}, make("td", {}, day(r.reviewed_at)), make("td", {}, r.reviewer), make("td", {}, r.action === "assignment" ? `to ${r.assigned_to || "nobody"}` : r.verdict.replace("_", " ")), make("td", {}, r.reason || "")))));
  parts.push(make("h3", {}, "Earlier"), earlier(a.history || []));
  $("detail").replaceChildren(...parts);
  window.scrollTo(0, 0);
}
function earlier(rows) {
  if (!rows.length) return make("p", { class: "small" }, "Nothing of this cause or these entities.");
  return make("div", { class: "many" }, ...rows.slice(0, 10).map((row) => make("button", { type: "button", click: () => open(row.incident_id) }, `${day(row.window_start)} ${row.level}${row.verdict ? `, ${row.verdict.replace("_", " ")}` : ""}`)));
}
const past = guarded(async (member) => {
  const told = await ask("GET", `entities?entity=${encodeURIComponent(member.entity)}&id=${encodeURIComponent(member.entity_id)}`);
  const windows = told.windows.slice(0, 8).map((w) => make("tr", {}, make("td", {}, day(w.window_start)), make("td", {}, `p ${number(w.p_value)}`), make("td", {}, (w.top_features || []).slice(0, 3).join(", "))));
  $("past").replaceChildren(make("h3", {}, `History of ${member.entity} ${member.entity_id}`), earlier(told.incidents), make("table", {}, ...windows));
});
function move(step) {
  const at = alerts.findIndex((alert) => alert.incident_id === current), to = at < 0 ? 0 : at + step;
  if (alerts[to]) { open(alerts[to].incident_id); document.querySelector(`[data-id="${CSS.escape(alerts[to].incident_id)}"]`)?.scrollIntoView({ block: "nearest" }); }
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { if (document.activeElement !== document.body) document.activeElement.blur(); else close(); return; }
  if (event.key === "Enter" && event.target.dataset && event.target.dataset.id) { open(event.target.dataset.id); return; }
  if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
  const verdict = VERDICTS.find((one) => one[2] === event.key);
  if (verdict) judge(verdict[0]);
  else if (event.key === "j" || event.key === "ArrowDown") move(1);
  else if (event.key === "k" || event.key === "ArrowUp") move(-1);
  else if (event.key === "a") assign(reviewer);
  else if (event.key === "/") $("q").focus();
  else return;
  event.preventDefault();
});
$("filters").addEventListener("submit", (event) => event.preventDefault());
for (const name of ["q", "level", "kind", "state"]) $(name).addEventListener("input", load);
$("me").addEventListener("click", enter);
$("enter").addEventListener("submit", guarded(async (event) => {
  event.preventDefault();
  const given = $("token").value.trim();
  $("token").value = "";
  token = given;
  sessionStorage.setItem("token", token);
  reviewer = given.length < 30 ? given : "";
  sessionStorage.setItem("reviewer", reviewer);
  await load();
}));
load().then(() => {
  const named = decodeURIComponent(location.hash.slice(1));
  if (named && !$("desk").hidden) open(named); else close();
});
