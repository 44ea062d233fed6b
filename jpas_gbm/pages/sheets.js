"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const TYPES = [["QSO", "quasar", "q", "--blue"], ["GALAXY", "galaxy", "g", "--vermilion"], ["STAR", "star", "s", "--green"]];
const STORE = "jpas-gbm sheets " + D.list + " " + D.rows.length + " " + D.rows.map(r => r.ra.toFixed(4)).slice(0, 3).join();
const $ = id => document.getElementById(id);
const esc = text => String(text).replace(/[&<>"]/g, c => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}[c]));
const num = (value, digits) => value === null || value === undefined || !isFinite(value) ? "–" : Number(value).toFixed(digits);
const kept = () => { try { return JSON.parse(localStorage.getItem(STORE)) || {}; } catch (error) { return {}; } };
let votes = kept(), order = [], at = 0, sort = {by: "rank", down: false};
const fitOf = (row, type) => row.fits.find(fit => fit.type === type);
const nameOf = row => Object.values(row.key).join("/");
const store = () => { try { localStorage.setItem(STORE, JSON.stringify(votes)); } catch (error) { /* private windows keep nothing */ } };

const HEADS = [
  ["rank", "#", row => row.rank], ["p", "P", row => row.probability], ["mag", "mag", row => row.mag],
  ["z", "z", row => (fitOf(row, "QSO") || {}).z], ["warn", "!", row => row.quality.length],
  ["vote", "vote", row => (votes[row.rank] || {}).cls || ""],
];

function arrange() {
  const current = order[at], value = HEADS.find(head => head[0] === sort.by)[2], wanted = $("filter").value;
  order = D.rows.filter(row => wanted === "all" || (wanted === "voted") === Boolean(votes[row.rank]));
  const rank = v => v === null || v === undefined || v !== v ? Infinity : v;
  order.sort((a, b) => {
    const [x, y] = [rank(value(a)), rank(value(b))];
    return (x < y ? -1 : x > y ? 1 : a.rank - b.rank) * (sort.down ? -1 : 1);
  });
  at = Math.max(0, order.indexOf(current));
}

function side() {
  $("heads").innerHTML = HEADS.map(([by, label]) => `<th aria-sort="${sort.by !== by ? "none" : sort.down ? "descending" : "ascending"}">` +
    `<button data-by="${by}" title="sort">${label}${sort.by === by ? (sort.down ? " ↓" : " ↑") : ""}</button></th>`).join("");
  $("body").innerHTML = order.map((row, i) => `<tr data-i="${i}" aria-current="${i === at}"><td>${row.rank}</td>` +
    `<td>${num(row.probability, 3)}</td><td>${num(row.mag, 2)}</td><td>${num((fitOf(row, "QSO") || {}).z, 2)}</td>` +
    `<td>${row.quality.length || ""}</td><td>${esc((votes[row.rank] || {}).cls || "")}</td></tr>`).join("");
  $("count").textContent = Object.keys(votes).length;
}

function scale(low, high, from, to) { return value => from + (value - low) / (high - low || 1) * (to - from); }
function ticks(low, high, about) {
  const step0 = (high - low) / about, power = 10 ** Math.floor(Math.log10(step0));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= step0), found = [];
  for (let t = Math.ceil(low / step) * step; t <= high + 1e-9; t += step) found.push(Number(t.toPrecision(6)));
  return found;
}

function plot(row) {
  const narrowPage = window.innerWidth < 700, W = narrowPage ? 560 : 900, L = 54, R = W - 8;
  const [top, base] = [8, narrowPage ? 380 : 290], [rTop, rBase] = [base + 14, base + 104], [cTop, cBase] = [rBase + 14, rBase + 104];
  const H = cBase + 34, x = scale(3400, 9700, L, R), pivots = D.pivots, out = [];
  const seen = pivots.map((_, i) => i).filter(i => row.flux[i] !== null);
  const values = seen.map(i => row.flux[i]).sort((a, b) => a - b);
  const models = row.fits.flatMap(fit => fit.flux.filter(v => v !== null));
  const cut = q => values[Math.min(values.length - 1, Math.max(0, Math.round(q * (values.length - 1))))] || 0;
  let low = Math.min(cut(0.02), ...models, 0), high = Math.max(cut(0.98), ...models);
  low -= 0.06 * (high - low); high += 0.12 * (high - low) || 1;
  const y = scale(low, high, base, top), clip = v => Math.max(top, Math.min(base, v));
  for (const t of ticks(3500, 9500, narrowPage ? 6 : 12))
    out.push(`<path class="axis" d="M${x(t)} ${top}V${cBase}"/><text x="${x(t)}" y="${cBase + 16}" text-anchor="middle">${t}</text>`);
  for (const t of ticks(low, high, 5)) out.push(`<text x="${L - 6}" y="${y(t) + 4}" text-anchor="end">${t}</text><path class="axis" d="M${L} ${y(t)}H${R}"/>`);
  const quasar = fitOf(row, "QSO");
  if (quasar && quasar.z !== null) for (const line of D.lines) {
    const place = line.wavelength * (1 + quasar.z);
    if (place > 3450 && place < 9600) out.push(`<path d="M${x(place)} ${top}V${rBase}" stroke="var(--blue)" stroke-dasharray="2 4"/>` +
      `<text x="${x(place) + 3}" y="${top + 10}">${esc(line.label)}</text>`);
  }
  const path = (fit, place, at) => D.pivots.map((p, i) => [p, i]).filter(([, i]) => !D.broad[i] && fit.flux[i] !== null)
    .sort((a, b) => a[0] - b[0]).map(([p, i], k) => `${k ? "L" : "M"}${x(p).toFixed(1)} ${at(fit, i).toFixed(1)}`).join("");
  for (const [type, , , colour] of TYPES.slice().reverse()) {
    const fit = fitOf(row, type);
    if (fit) out.push(`<path d="${path(fit, x, (f, i) => clip(y(f.flux[i])))}" fill="none" stroke="var(${colour})" stroke-width="1.8" opacity=".85"/>`);
  }
  for (const i of seen) {
    const e = row.err[i] || 0, [px, py] = [x(pivots[i]), clip(y(row.flux[i]))];
    out.push(`<path d="M${px} ${clip(y(row.flux[i] - e))}V${clip(y(row.flux[i] + e))}" stroke="var(--muted)"/>` + (D.broad[i]
      ? `<rect x="${px - 4}" y="${py - 4}" width="8" height="8" fill="var(--paper)" stroke="var(--ink)"/>`
      : `<circle cx="${px}" cy="${py}" r="3" fill="var(--ink)"/>`) + `<title>${esc(D.bands[i])}</title>`);
  }
  out.push(`<text transform="translate(12 ${(top + base) / 2}) rotate(-90)" text-anchor="middle">10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹</text>`);
  const r = scale(-6, 6, rBase, rTop);
  for (const t of [-5, 0, 5]) out.push(`<path class="axis" d="M${L} ${r(t)}H${R}"/><text x="${L - 6}" y="${r(t) + 4}" text-anchor="end">${t}</text>`);
  for (const [type, , , colour] of TYPES) {
    const fit = fitOf(row, type);
    if (fit) for (const i of seen) if (row.err[i] && fit.flux[i] !== null) {
      const miss = Math.max(-6, Math.min(6, (row.flux[i] - fit.flux[i]) / row.err[i]));
      out.push(`<circle cx="${x(pivots[i])}" cy="${r(miss)}" r="2.4" fill="var(${colour})" opacity=".8"/>`);
    }
  }
  out.push(`<text transform="translate(12 ${(rTop + rBase) / 2}) rotate(-90)" text-anchor="middle">residual, σ</text>`);
  const said = row.why.bands.map(v => v || 0), [least, most] = [Math.min(-0.02, ...said), Math.max(0.02, ...said)], c = scale(least, most, cBase, cTop);
  said.forEach((v, i) => { if (v) out.push(`<path d="M${x(pivots[i])} ${c(0)}V${c(v)}" stroke="var(${v > 0 ? "--purple" : "--orange"})" stroke-width="6"><title>${esc(D.bands[i])} ${num(v, 2)}</title></path>`); });
  out.push(`<path class="axis" d="M${L} ${c(0)}H${R}"/><text x="${L - 6}" y="${c(most) + 9}" text-anchor="end">+${num(most, 1)}</text>` + (least < -0.15 * most ? `<text x="${L - 6}" y="${c(least)}" text-anchor="end">−${num(-least, 1)}</text>` : ""));
  out.push(`<text transform="translate(12 ${(cTop + cBase) / 2}) rotate(-90)" text-anchor="middle">says</text><text x="${(L + R) / 2}" y="${H - 3}" text-anchor="middle">wavelength, Å</text>`);
  return `<svg class="plot" viewBox="0 0 ${W} ${H}" role="img" aria-label="photo-spectrum of ${esc(nameOf(row))}">${out.join("")}</svg>`;
}

function redshifts(row) {
  if (!row.pz || row.pz[0] === null) return "";
  const narrowPage = window.innerWidth < 700, W = narrowPage ? 560 : 900, H = narrowPage ? 150 : 112, [L, R, top, base] = [54, W - 8, 8, H - 34];
  const zs = D.zs, mass = row.pz.map((v, i) => v * (zs[i + 1] - zs[i])), out = [], whole = mass.reduce((a, b) => a + b, 0) || 1;
  let sum = 0;
  const below = mass.map(m => (sum += m / whole)), at = q => { const i = below.findIndex(v => v >= q), from = i ? below[i - 1] : 0; return zs[i] + (zs[i + 1] - zs[i]) * (q - from) / (below[i] - from || 1); };
  const x = scale(zs[0], zs[zs.length - 1], L, R), y = scale(0, Math.max(...row.pz) * 1.06 || 1, base, top);
  out.push(`<rect x="${x(at(0.16))}" y="${top}" width="${Math.max(1, x(at(0.84)) - x(at(0.16)))}" height="${base - top}" fill="var(--wash)"/>`);
  for (const t of ticks(zs[0], zs[zs.length - 1], narrowPage ? 5 : 9)) out.push(`<path class="axis" d="M${x(t)} ${top}V${base}"/><text x="${x(t)}" y="${base + 15}" text-anchor="middle">${t}</text>`);
  out.push(`<path d="M${L} ${base}${row.pz.map((v, i) => `L${x(zs[i]).toFixed(1)} ${y(v).toFixed(1)}H${x(zs[i + 1]).toFixed(1)}`).join("")}L${R} ${base}" fill="var(--blue)" fill-opacity=".25" stroke="var(--blue)"/>`);
  const quasar = fitOf(row, "QSO");
  if (quasar && quasar.z !== null) out.push(`<path d="M${x(quasar.z)} ${top}V${base}" stroke="var(--ink)" stroke-dasharray="3 3"/>`);
  out.push(`<text transform="translate(12 ${(top + base) / 2}) rotate(-90)" text-anchor="middle">P(z)</text><text x="${(L + R) / 2}" y="${H - 3}" text-anchor="middle">redshift, were it a quasar: ${num(at(0.5), 2)} [${num(at(0.16), 2)}, ${num(at(0.84), 2)}]</text>`);
  return `<svg class="plot" viewBox="0 0 ${W} ${H}" role="img" aria-label="redshift density of ${esc(nameOf(row))}">${out.join("")}</svg>`;
}

function draw() {
  const row = order[at];
  if (!row) { $("sheet").innerHTML = "<p>No candidate to show: choose another filter.</p>"; $("vote").innerHTML = ""; side(); return; }
  const fits = TYPES.map(([type, label, , colour]) => [fitOf(row, type), label, colour]).filter(([fit]) => fit);
  const strong = row.why.bands.map((v, i) => [v || 0, D.bands[i]]).sort((a, b) => Math.abs(b[0]) - Math.abs(a[0])).slice(0, 6);
  const more = Object.entries(row.more).map(([name, value]) => `${esc(name)} ${typeof value === "number" ? num(value, Number.isInteger(value) ? 0 : 3) : esc(value)}`).join(" · ");
  $("sheet").innerHTML = `<h2>${row.rank}. ${esc(nameOf(row))}</h2>
<p class="where">${Object.keys(row.key).map(esc).join("/")} · RA ${num(row.ra, 6)} Dec ${num(row.dec, 6)} · magnitude ${num(row.mag, 2)} · P(${esc(D.class)}) in the field ${num(row.probability, 3)}</p>
<div class="probs">${D.classes.map((name, i) => `<div>${esc(name)} <b>${num(row.p[i], 3)}</b><i><span style="width:${100 * row.p[i]}%"></span></i></div>`).join("")}</div>
<div class="key">${fits.map(([fit, label, colour]) => `<span style="--c:var(${colour})">${label}${fit.z === null ? "" : " z " + num(fit.z, 2)}, χ² ${num(fit.chi2, 0)} of ${fit.bands} bands</span>`).join("")}</div>
${plot(row)}
<div class="key"><span style="--c:var(--purple)">bands for ${esc(row.why.for)}</span><span style="--c:var(--orange)">bands for ${esc(row.why.against)}</span></div>
${redshifts(row)}
<div class="tables"><div><h3>What decides</h3><p>${esc(row.why.for)} against ${esc(row.why.against)}: log-odds ${num(row.why.odds, 2)} before calibration, most by ${strong.map(([v, b]) => `${esc(b)} ${v > 0 ? "+" : "−"}${num(Math.abs(v), 2)}`).join(", ")}.</p>
<h3>Quality</h3><p class="${row.quality.length ? "warned" : ""}">${row.quality.length ? row.quality.map(esc).join(", ") : "nothing to note"}</p>${more ? `<p>${more}</p>` : ""}</div>
<div><h3>Neighbours</h3>${row.near.length ? `<table><thead><tr><th>″</th><th>east, north</th><th>mag</th><th>class</th><th>P</th></tr></thead><tbody>${row.near.map(n => `<tr><td>${num(n.apart, 1)}</td><td>${num(n.east, 1)}, ${num(n.north, 1)}</td><td>${num(n.mag, 1)}</td><td>${esc(n.class)}</td><td>${num(n.p, 2)}</td></tr>`).join("")}</tbody></table>` : "<p>none within 15″ in the predictions</p>"}</div></div>`;
  const mine = votes[row.rank] || {}, z = mine.z !== undefined ? mine.z : (fitOf(row, "QSO") || {}).z;
  $("vote").innerHTML = `<button data-go="-1">← <kbd>k</kbd></button>` + [...TYPES, ["UNSURE", "unsure", "u"]].map(([type, label, key]) =>
    `<button data-vote="${type}" class="${mine.cls === type ? "on" : ""}">${label} <kbd>${key}</kbd></button>`).join("") +
    `<button data-go="1"><kbd>j</kbd> →</button><label>z <input id="z" type="number" step="0.01" min="0" max="7" value="${z === null || z === undefined ? "" : z}"></label>` +
    `<input class="wide" id="note" placeholder="remark" aria-label="remark" value="${esc(mine.note || "")}"><span class="hint">With shift: likely, not sure. <kbd>x</kbd> takes a vote back.</span>`;
  side();
  const line = document.querySelector('#body tr[aria-current="true"]'), box = $("side");
  if (line) box.scrollTop = Math.max(0, line.offsetTop - box.clientHeight / 2);
}

function vote(type, likely) {
  const row = order[at];
  if (!row) return;
  const fit = fitOf(row, type), typed = $("z").value === "" ? null : Number($("z").value), own = (fitOf(row, "QSO") || {}).z;
  const z = type === "STAR" ? 0 : type === "UNSURE" ? null : type === "GALAXY" && typed === own ? (fit ? fit.z : null) : typed;
  votes[row.rank] = {cls: type, z, quality: type === "UNSURE" ? 1 : likely ? 3 : 4, note: $("note").value, when: new Date().toISOString().slice(0, 19)};
  store();
  if ($("filter").value === "open") { arrange(); at = Math.min(at, order.length - 1); } else if (at < order.length - 1) at += 1;
  draw();
}

function csv() {
  const keys = Object.keys(D.rows[0].key), cell = value => /[",\n]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value);
  const lines = [[...keys, "RA", "DEC", "CLASS", "Z", "VI_QUALITY", "VOTER", "DATE", "REMARK"]];
  for (const row of D.rows) {
    const mine = votes[row.rank];
    if (mine) lines.push([...keys.map(k => row.key[k]), row.ra, row.dec, mine.cls === "UNSURE" ? "" : mine.cls, mine.z === null ? "" : mine.z, mine.quality, $("voter").value, mine.when, mine.note]);
  }
  return lines.map(line => line.map(cell).join(",")).join("\n") + "\n";
}

function go(step) { at = Math.max(0, Math.min(order.length - 1, at + step)); draw(); }
document.addEventListener("click", event => {
  const target = event.target.closest("[data-vote],[data-go],[data-by],tr[data-i],#save");
  if (!target) return;
  if (target.id === "save") {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
    link.download = "votes_" + D.list + ".csv";
    link.click();
  } else if (target.dataset.vote) vote(target.dataset.vote, event.shiftKey);
  else if (target.dataset.go) go(Number(target.dataset.go));
  else if (target.dataset.by) { sort = {by: target.dataset.by, down: sort.by === target.dataset.by ? !sort.down : target.dataset.by === "p"}; arrange(); draw(); }
  else { at = Number(target.dataset.i); draw(); }
});
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName || "")) return;
  const key = event.key.toLowerCase(), type = [...TYPES, ["UNSURE", "", "u"]].find(one => one[2] === key);
  if (type) vote(type[0], event.shiftKey);
  else if (key === "j" || key === "arrowright") go(1);
  else if (key === "k" || key === "arrowleft") go(-1);
  else if (key === "x" && order[at]) { delete votes[order[at].rank]; store(); draw(); }
  else return;
  event.preventDefault();
});
$("filter").addEventListener("change", () => { arrange(); draw(); });
window.addEventListener("resize", () => draw());
arrange();
draw();
