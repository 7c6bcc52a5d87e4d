const SAYS = {
  zh: {
    title: "这条短评，会打几颗星？", label: "影评（中文）", rate: "打分", examples: "例如：", probabilities: "各星级的概率",
    words: "哪些词起了作用", similar: "相似的评论",
    wordsNote: "暖色的词使评分升高，冷色的使其降低：颜色越深，去掉该词后评分变化越大。",
    longNote: "暖色的词使评分升高，冷色的使其降低；长评论不逐词去掉，而用积分梯度计算每个词的份额。",
    similarNote: "模型认为最接近的训练集评论，以及作者给出的星级。",
    expected: (x) => `期望 ${x.toFixed(2)} 星`, starsOf: (n) => `${n} 星`, working: "正在打分……", empty: "请先输入一条评论。",
    set: (set, share) => `真实星级有 ${share}% 的把握在其中：${set.join("、")} 星。`, retry: (s) => `服务器繁忙，请 ${s} 秒后再试。`,
    failed: "出错了：", offline: "连接不上服务器。", model: (m) => `模型：${m.task}，编码器 ${m.encoder}（${m.precision}）`,
    effect: (x) => `${x >= 0 ? "+" : "−"}${Math.abs(x).toFixed(2)} 星`, other: "English",
    table: "给整张表打分", file: "文件", rateTable: "给表格打分", download: "下载结果（CSV）", paste: "或者粘贴",
    tableNote: "CSV、TSV 或 JSON Lines，第一行是列名；每一行都会保留，并加上预测的星级。",
    pasteNote: "每行一条评论；或者粘贴带列名的表格。", films: "每部影片的平均星级（95% 区间）",
    columns: ["影片", "评论数", "平均", "下限", "上限"], sending: "正在上传……", noTable: "请先选择文件或粘贴内容。",
    working2: (p) => `正在打分……${p}%`, done: (t) => `完成：${t.rows} 行，其中 ${t.unrated} 行没有文字。`,
    waiting: "前面还有别的表格，请稍候……", study: (film) => `打开《${film}》的影片分析`, studying: "正在制作影片分析……",
    noStudy: (why) => `没有影片分析：${why}`, key: "API 密钥", useKey: "使用",
    problems: {
      unauthorized: "需要 API 密钥。", body_too_large: "内容太大，请分批发送。", too_much: "一次要解释的文字太多。",
      unknown_format: "只接受 CSV、TSV、JSON Lines 和 JSON；压缩文件请先解压。", model_failed: "模型无法加载，原因见服务器日志。",
      internal_error: "服务器出错了，原因见其日志。", no_such_table: "没有这张表格（结果只保留一小时）。",
    },
  },
  en: {
    title: "How many stars is this review?", label: "Review (Chinese)", rate: "Rate", examples: "For example:",
    probabilities: "Probability of each star", words: "What the rating rests on", similar: "Reviews like it",
    wordsNote: "Warm words raise the rating, cold ones lower it: the deeper, the more the rating moves without the word.",
    longNote: "Warm words raise the rating, cold ones lower it; in a long review by integrated gradients, not by leaving words out.",
    similarNote: "Training reviews that the model sees nearest, with their authors' stars.",
    expected: (x) => `${x.toFixed(2)} stars expected`, starsOf: (n) => `${n} ${n === 1 ? "star" : "stars"}`,
    working: "Rating …", empty: "Write a review first.",
    set: (set, share) => `The true star is one of these in ${share}% of the cases: ${set.join(", ")}.`,
    retry: (s) => `The server is busy; try again in ${s} s.`, failed: "That failed: ", offline: "The server cannot be reached.",
    model: (m) => `Model: ${m.task}, encoder ${m.encoder} (${m.precision})`,
    effect: (x) => `${x >= 0 ? "+" : "−"}${Math.abs(x).toFixed(2)} stars`, other: "中文",
    table: "Rate a whole table", file: "File", rateTable: "Rate the table", download: "Download the result (CSV)",
    paste: "Or paste", tableNote: "CSV, TSV or JSON Lines, with the columns named in the first line; every row is kept and gets its stars.",
    pasteNote: "A review a line; or a table with its columns named.", films: "Mean rating of each film (95% interval)",
    columns: ["Film", "Reviews", "Mean", "Low", "High"], sending: "Sending …", noTable: "Choose a file or paste something first.",
    waiting: "Other tables come first …", study: (film) => `Open the case study of ${film}`, studying: "Making the case study …",
    noStudy: (why) => `No case study: ${why}`, key: "API key", useKey: "Use it",
    problems: {},
    working2: (p) => `Rating … ${p}%`, done: (t) => `Done: ${t.rows} rows, ${t.unrated} of them without text.`,
  },
};
const EXAMPLES = ["哭了三次，值得二刷！", "画面很美，但是故事太弱了。", "浪费了两个小时，难看。"];
const at = (id) => document.getElementById(id);
const remembered = () => { try { return localStorage.getItem("language"); } catch { return null; } };
let language = remembered() ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let model = null;
let shown = null;
let asked = 0;
let films = [];
let studied = null;
const told = new Map();

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Write text where it is another: what stays need not be drawn, or read out, again. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function speak() {
  const says = SAYS[language];
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-says]")) write(element, says[element.dataset.says]);
  at("language").textContent = says.other;
  at("language").lang = language === "zh" ? "en" : "zh-Hans";
  at("model").textContent = model ? says.model(model) : "";
  for (const [id, say] of told) at(id).textContent = say(says);
  if (shown) show(shown);
  showFilms();
  if (studied) at("study").textContent = says.study(studied);
}

/** Tell something in the language of the page, and again where that changes. */
function tell(id, say) {
  told.set(id, say);
  at(id).textContent = say(SAYS[language]);
}

class Refusal extends Error {
  constructor(say, wait = null) {
    super();
    this.say = say;
    this.wait = wait;
  }
}

const keyOf = () => { try { return sessionStorage.getItem("key"); } catch { return at("key").value; } };

async function ask(path, body, kind = "application/json") {
  let response;
  const headers = body ? { "Content-Type": kind } : {};
  const key = keyOf();
  if (key) headers["X-API-Key"] = key;
  try {
    const sent = kind === "application/json" ? JSON.stringify(body) : body;
    response = await fetch(path, body ? { method: "POST", headers, body: sent } : { headers });
  } catch {
    throw new Refusal((says) => says.offline);
  }
  if (response.ok) return response.json();
  if (response.status === 401) at("access").hidden = false;
  const wait = response.headers.get("Retry-After");
  if (wait) throw new Refusal((says) => says.retry(wait), Number(wait));
  const problem = await response.json().catch(() => ({}));
  throw new Refusal((says) => says.failed + (says.problems[problem.error?.code] ?? problem.error?.message ?? response.statusText));
}

/** Ask again and again while the server says when to come again: it is only a question of how far something is. */
async function askPatiently(path) {
  for (;;) {
    try {
      return await ask(path);
    } catch (error) {
      if (!(error instanceof Refusal) || !error.wait) throw error;
      await sleep(1000 * error.wait);
    }
  }
}

function show({ rating, explanation, similar }) {
  const says = SAYS[language];
  at("result").hidden = false;
  at("stars").textContent = "★".repeat(rating.rating) + "☆".repeat(5 - rating.rating);
  at("stars").setAttribute("aria-label", says.starsOf(rating.rating));
  at("expected").textContent = says.expected(rating.expected);
  at("doubt").textContent = rating.set && model?.coverage ? says.set(rating.set, Math.round(100 * model.coverage)) : "";
  at("probabilities").hidden = !rating.probabilities;
  at("probabilities").tBodies[0].replaceChildren(...(rating.probabilities ?? []).map((p, index) => {
    const row = document.createElement("tr");
    if (rating.set?.includes(index + 1)) row.className = "in";
    const bar = document.createElement("td");
    bar.append(make("meter", "", { min: 0, max: 1, value: p, "aria-label": says.starsOf(index + 1) }));
    row.append(make("th", says.starsOf(index + 1), { scope: "row" }), bar, make("td", `${(100 * p).toFixed(1)}%`));
    return row;
  }).reverse());
  showWords(explanation, says);
  at("similar").hidden = !similar.length;
  at("reviews").replaceChildren(...similar.map((review) => {
    const item = document.createElement("li");
    const stars = "★".repeat(review.rating) + "☆".repeat(5 - review.rating);
    item.append(make("p", review.text, { lang: "zh-Hans" }));
    item.append(make("p", `${stars}${review.film ? ` · ${review.film}` : ""}`, { class: "note", "aria-label": says.starsOf(review.rating) }));
    return item;
  }));
}

function showWords(explanation, says) {
  const part = (word) => word.effect ?? word.gradient ?? 0;  // of a long text words are not left out one by one
  const isLong = explanation.words.some((word) => word.effect === null);
  write(at("wordsNote"), isLong ? says.longNote : says.wordsNote);
  const most = Math.max(0.05, ...explanation.words.map((word) => Math.abs(part(word))));
  const characters = Array.from(explanation.text);  // the server counts characters, not UTF-16 units
  const parts = [];
  let end = 0;
  for (const word of explanation.words) {
    parts.push(document.createTextNode(characters.slice(end, word.start).join("")));
    const effect = part(word);
    const span = make("span", characters.slice(word.start, word.end).join(""), { class: effect >= 0 ? "up" : "down", title: says.effect(effect) });
    span.style.setProperty("--share", Math.abs(effect) / most);
    parts.push(span);
    end = word.end;
  }
  parts.push(document.createTextNode(characters.slice(end).join("")));
  at("words").replaceChildren(...parts);
}

/** Keep a button from being pressed while what it asked for is done; return what makes it as it was, focus too. */
function pause(button) {
  const hadFocus = document.activeElement === button;
  button.disabled = true;
  return () => {
    if (!button.disabled) return;
    button.disabled = false;
    if (hadFocus && document.activeElement === document.body) button.focus({ preventScroll: true });
  };
}

async function rate() {
  const text = at("text").value.trim();
  if (!text) { tell("message", (says) => says.empty); return; }
  const mine = ++asked;
  const resume = pause(at("form").querySelector("button[type=submit]"));
  tell("message", (says) => says.working);
  try {
    const texts = { texts: [text] }, none = { similar: [[]] };
    const [rated, explained, similar] = await Promise.all([
      ask("v1/predict", texts), ask("v1/explain", texts),
      model?.similar === false ? none : ask("v1/similar", { ...texts, n: 5 }).catch(() => none),
    ]);
    if (mine !== asked) return;
    shown = { rating: rated.ratings[0], explanation: explained.explanations[0], similar: similar.similar[0] };
    tell("message", () => "");
    show(shown);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (mine === asked) tell("message", error.say);
  } finally {
    if (mine === asked) resume();
  }
}

const TEXT_COLUMN = /^(评论|短评|影评|内容|(评论|短评|影评)内容|評論|內容|comments?|reviews?|text|content|short|(short|review|comment)[_ -](comment|review|text|content))$/i;

/** Quote pasted lines as a table of one column, unless they are a table already: the first line names its columns. */
function asTable(pasted) {
  const lines = pasted.split(/\r?\n/).filter((line) => line.trim());
  const tabs = lines[0].includes("\t");
  const names = lines[0].split(tabs ? "\t" : ",").map((name) => name.trim().replace(/^"(.*)"$/, "$1"));
  const named = names.some((name) => TEXT_COLUMN.test(name));
  if (named && names.length > 1) return [`${pasted}\n`, tabs ? "pasted.tsv" : "pasted.csv"];
  const quoted = lines.slice(named ? 1 : 0).map((line) => `"${line.replaceAll('"', '""')}"`);
  return [["text", ...quoted].join("\n") + "\n", "pasted.csv"];
}

const sleep = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

function showFilms() {
  const says = SAYS[language];
  at("films").hidden = !films.length;
  const heading = document.createElement("tr");
  heading.append(...says.columns.map((name) => make("th", name, { scope: "col" })));
  at("films").tHead.replaceChildren(heading);
  at("films").tBodies[0].replaceChildren(...films.map((film) => {
    const row = document.createElement("tr");
    const cells = [film.reviews, film.mean.toFixed(2), film.low.toFixed(2), film.high.toFixed(2)];
    row.append(make("th", film.film, { scope: "row", lang: "zh-Hans" }), ...cells.map((cell) => make("td", cell)));
    return row;
  }));
}

async function rateTable() {
  const file = at("file").files[0];
  const pasted = at("pasted").value.trim();
  if (!file && !pasted) { tell("tableMessage", (says) => says.noTable); return; }
  const [content, name] = file ? [file, file.name] : asTable(pasted);
  const resume = pause(at("upload").querySelector("button[type=submit]"));
  at("download").hidden = true;
  at("study").hidden = true;
  tell("studyMessage", () => "");
  studied = null;
  films = [];
  showFilms();
  at("progress").value = 0;
  at("progress").hidden = false;
  let table = null;
  try {
    table = await ratedTable(content, name);
    showTable(table);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    tell("tableMessage", error.say);
  } finally {
    at("progress").hidden = true;
    resume();
  }
  if (!table) return;
  try {
    await awaitStudy(table);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    tell("studyMessage", error.say);
  }
}

/** Send a table, and tell how far it is until it is rated. */
async function ratedTable(content, name) {
  tell("tableMessage", (says) => says.sending);
  let table = await ask(`v1/tables?study=true&language=${language}&name=${encodeURIComponent(name)}`, content, "text/csv");
  while (table.state === "waiting" || table.state === "working") {
    await sleep(500);
    table = await askPatiently(`v1/tables/${table.id}`);
    at("progress").value = table.total ? table.done / table.total : 0;
    const percent = Math.floor(100 * at("progress").value);
    tell("tableMessage", table.state === "waiting" ? (says) => says.waiting : (says) => says.working2(percent));
  }
  if (table.state === "failed") throw new Refusal((says) => says.failed + table.message);
  return table;
}

function showTable(table) {
  tell("tableMessage", (says) => says.done(table));
  at("rated").href = `v1/tables/${table.id}/rated`;
  at("download").hidden = false;
  films = table.films ?? [];
  showFilms();
}

/** Wait for the case study, unless another table is rated meanwhile. */
async function awaitStudy(table) {
  const mine = at("rated").href;
  const isShown = () => at("rated").href === mine && !at("download").hidden;
  const isDue = () => table.study === "waiting" || table.study === "working";
  if (isDue()) tell("studyMessage", (says) => says.studying);
  while (isDue()) {
    await sleep(500);
    table = await askPatiently(`v1/tables/${table.id}`);
  }
  if (!isShown()) return;
  if (table.study === "failed") {
    tell("studyMessage", (says) => says.noStudy(table.study_message));
    return;
  }
  tell("studyMessage", () => "");
  if (table.study !== "done") return;
  studied = table.film;
  at("study").textContent = SAYS[language].study(studied);
  at("study").href = `v1/tables/${table.id}/study`;
  at("study").hidden = false;
}

at("upload").addEventListener("submit", (event) => { event.preventDefault(); rateTable(); });
at("form").addEventListener("submit", (event) => { event.preventDefault(); rate(); });
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) rate();
});
at("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  try { localStorage.setItem("language", language); } catch { /* a private window remembers nothing */ }
  speak();
});
at("examples").append(...EXAMPLES.map((text) => {
  const button = make("button", text, { type: "button", lang: "zh-Hans" });
  button.addEventListener("click", () => { at("text").value = text; rate(); });
  return button;
}));
/** Learn what is served; a server that is still loading says when to ask again. */
async function meet() {
  try {
    model = await askPatiently("v1/model");
    at("access").hidden = true;
    tell("message", () => "");
    speak();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    tell("message", error.say);
  }
}

at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  try { sessionStorage.setItem("key", at("key").value.trim()); } catch { /* then it is taken from the field */ }
  meet();
});
/**
 * Draw all text anew. Chromium leaves some of what stood there before a font came as it was, and at another size the first
 * text that it lays out; what is then taken away and put back is right.
 */
function redraw() {
  document.documentElement.style.fontSize = "17.01px";
  document.body.getBoundingClientRect();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  const texts = nodes.map((node) => node.data);
  for (const node of nodes) node.data = "";
  document.body.getBoundingClientRect();
  nodes.forEach((node, place) => { node.data = texts[place]; });
}
document.fonts.addEventListener("loadingdone", redraw);
speak();
meet();
