/* Makes the page's figures interactive. Each figure holds a drawing that needs no script, and its data as JSON; here the
   data is drawn again by ECharts, over the drawing, with colours of the page. All words come with the data. */
"use strict";
(() => {
  const STARS = [1, 2, 3, 4, 5];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const starColour = (star) => colour(`s${star}`);
  const faded = (hex, part) => `${hex}${Math.round(255 * Math.min(1, Math.max(0, part))).toString(16).padStart(2, "0")}`;
  const number = (value, digits = 0, signed = false) =>
    value.toLocaleString(document.documentElement.lang,
      { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: signed ? "exceptZero" : "auto" });
  const percent = (value, digits = 1, signed = false) => `${number(100 * value, digits, signed)}%`;
  const writer = (data, digits = data.digits ?? (data.percent ? 1 : 2)) =>
    (value) => (data.percent ? percent : number)(value, digits, data.signed);
  const size = () => Math.max(11, Math.min(13, document.documentElement.clientWidth / 60));

  /* Names before the rows of a chart get the room that they need, as they are drawn here; longer ones are broken. */
  const ruler = document.createElement("canvas").getContext("2d");
  const family = () => getComputedStyle(document.documentElement).getPropertyValue("--sans") || "sans-serif";
  const width = (text) => {
    ruler.font = `${size()}px ${family()}`;
    return ruler.measureText(text).width;
  };
  const names = (labels, most) => {
    const room = Math.ceil(Math.min(most, document.documentElement.clientWidth * 0.38, Math.max(...labels.map(width))) + 2);
    const lines = Math.max(...labels.map((label) => Math.ceil((1.15 * width(label)) / room)));
    return { left: room + 16, lines, label: { color: colour("ink"), width: room, overflow: "break", lineHeight: Math.round(size() * 1.25), interval: 0, margin: 8 } };
  };

  /* Tooltips are elements with text in them, never markup made of text: reviews come from strangers. */
  const note = (title, lines) => {
    const box = document.createElement("div");
    box.className = "chart-note";
    const head = box.appendChild(document.createElement("strong"));
    head.textContent = title;
    for (const line of lines) {
      const row = box.appendChild(document.createElement("div"));
      row.textContent = line;
    }
    return box;
  };

  const base = () => ({
    animationDuration: 250,
    textStyle: { fontFamily: family(), color: colour("ink") },
    tooltip: {
      confine: true, borderWidth: 1, borderColor: colour("rule"), backgroundColor: colour("paper"), padding: [8, 12],
      textStyle: { color: colour("ink"), fontSize: 13 }, extraCssText: "max-width:22rem;white-space:normal;box-shadow:0 2px 12px #0003",
    },
    legend: { top: 0, left: 0, itemWidth: 12, itemHeight: 12, icon: "circle", textStyle: { color: colour("muted"), fontSize: size() },
      inactiveColor: faded(colour("muted"), 0.4) },
    grid: { left: 12, right: 16, top: 34, bottom: 14, containLabel: true },
  });
  const axis = (more = {}) => ({
    axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: colour("rule") } },
    axisLabel: { color: colour("muted"), fontSize: size(), ...more.label }, nameTextStyle: { color: colour("muted"), fontSize: size() },
    ...more, label: undefined,
  });
  const zoom = (which = "inside", more = {}) => ({ type: which, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, ...more });

  const builders = {
    /* Rows with one or two values each, with intervals: models beside baselines, aspects of a film, ways to explain. */
    dots(data) {
      const write = writer(data);
      const rows = data.rows;
      const shade = (row) => (row.own ? colour("accent") : colour("muted"));
      const series = data.series.flatMap((name, place) => {
        const points = rows.map((row, index) => ({ row, index, value: row.values[place] })).filter((point) => point.value);
        const hollow = place % 2 === 1;
        return [
          {
            name, type: "custom", silent: true, z: 2, color: colour(hollow ? "muted" : "accent"),
            data: points.filter((point) => point.value.low !== undefined).map((point) => [point.value.low, point.value.high, point.index]),
            encode: { x: [0, 1], y: 2 },
            renderItem(_, api) {
              const [left, y] = api.coord([api.value(0), api.value(2)]);
              const [right] = api.coord([api.value(1), api.value(2)]);
              return { type: "line", shape: { x1: left, x2: right, y1: y, y2: y },
                style: { stroke: shade(rows[api.value(2)]), lineWidth: 3, opacity: 0.45 } };
            },
          },
          {
            name, type: "scatter", symbolSize: 12, z: 3,
            data: points.map((point) => ({
              value: [point.value.value, point.index], row: point.row, of: point.value,
              itemStyle: hollow ? { color: colour("paper"), borderColor: shade(point.row), borderWidth: 2 } : { color: shade(point.row) },
            })),
            color: colour(hollow ? "muted" : "accent"),
            label: { show: true, position: hollow ? "bottom" : "top", distance: 3, color: colour("muted"), fontSize: size() - 1, formatter: ({ data: item }) => write(item.of.value) },
          },
        ];
      });
      const named = names(rows.map((row) => row.label), 230);
      const step = Math.max(data.series.length > 1 ? 50 : 42, named.lines * named.label.lineHeight + 8);
      const top = (data.series.length > 1 ? 34 : 14) + (data.reference ? 16 : 0);
      const half = data.reference ? 0.55 * width(data.reference.label) + 6 : 0;
      return {
        height: top + 30 + step * rows.length,
        option: {
          ...base(),
          grid: { left: Math.max(named.left, half), right: Math.max(32, half), top, bottom: 30 },
          tooltip: { ...base().tooltip, trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: faded(colour("muted"), 0.12) } },
            formatter: (points) => {
              const told = points.filter((point) => point.data?.of);
              const line = ({ data: { of }, seriesName }) =>
                `${seriesName}: ${write(of.value)}${of.low === undefined ? "" : ` (${write(of.low)} – ${write(of.high)})`}`;
              return told.length ? note(told[0].data.row.label, [...told.map(line), ...(told[0].data.row.notes ?? [])]) : "";
            } },
          legend: { ...base().legend, show: data.series.length > 1, selectedMode: "multiple",
            data: data.series.map((name, place) => ({ name, itemStyle: place % 2 ? { color: colour("paper"), borderColor: colour("ink"), borderWidth: 2 } : {} })) },
          xAxis: axis({ type: "value", scale: true, label: { formatter: writer(data, (data.percent ? 0 : 1) + (data.signed ? 1 : 0)), hideOverlap: true } }),
          yAxis: axis({ type: "category", inverse: true, data: rows.map((row) => row.label), splitLine: { show: false }, label: named.label }),
          series: [...series, ...reference(data.reference)],
        },
      };
    },

    /* A confusion matrix; neighbours count as right where asked. */
    matrix(data) {
      const totals = data.counts.map((row) => Math.max(1, row.reduce((sum, count) => sum + count, 0)));
      const cells = data.counts.flatMap((row, y) => row.map((count, x) => ({ x, y, count, share: count / totals[y] })));
      const right = (cell) => Math.abs(cell.x - cell.y) <= (data.near ? 1 : 0);
      const narrow = document.documentElement.clientWidth < 420;
      return {
        height: 380,
        option: {
          ...base(),
          grid: { left: 24, right: 8, top: 50, bottom: 8, containLabel: true },
          tooltip: { ...base().tooltip, formatter: ({ data: cell }) => note(
            `${data.words.true} ${cell.y + 1} ★ → ${data.words.given} ${cell.x + 1} ★`,
            [`${percent(cell.share)} ${data.words.share}`, `${number(cell.count)} ${data.words.reviews}`]) },
          xAxis: axis({ type: "category", position: "top", data: STARS.map((star) => `${star} ★`), name: data.words.given, nameLocation: "middle", nameGap: 30, splitLine: { show: false } }),
          yAxis: axis({ type: "category", inverse: true, data: STARS.map((star) => `${star} ★`), name: data.words.true, nameLocation: "middle", nameGap: 38, splitLine: { show: false } }),
          series: [{
            type: "heatmap",
            data: cells.map((cell) => {
              const shade = right(cell) && data.near ? 0.32 : cell.share;
              const tint = right(cell) || !data.near ? colour("accent") : colour("warning");
              return { ...cell, value: [cell.x, cell.y, cell.share],
                itemStyle: { color: faded(tint, shade), borderColor: colour("paper"), borderWidth: 2 },
                label: { color: shade >= 0.75 ? colour("on-dark") : colour("ink") } };
            }),
            label: { show: true, fontSize: narrow ? 11 : 13, lineHeight: 17, formatter: ({ data: cell }) => (cell.count ? `${percent(cell.share, 0)}\n${number(cell.count)}` : "") },
            emphasis: { itemStyle: { borderColor: colour("ink"), borderWidth: 2 } },
          }],
        },
      };
    },

    /* Shares side by side: the stars that are true and those that are given. */
    bars(data) {
      return {
        height: 300,
        option: {
          ...base(),
          tooltip: { ...base().tooltip, trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: faded(colour("muted"), 0.12) } },
            formatter: (points) => note(points[0].name, points.map((point) => `${point.seriesName}: ${percent(point.data.value)} (${number(point.data.count)})`)) },
          legend: base().legend,
          xAxis: axis({ type: "category", data: data.categories }),
          yAxis: axis({ type: "value", label: { formatter: (value) => percent(value, 0) } }),
          series: data.series.map((series, place) => ({
            name: series.name, type: "bar", barMaxWidth: 34, barGap: "12%",
            itemStyle: { color: place === data.series.length - 1 ? colour("accent") : faded(colour("muted"), 0.55 - 0.15 * place), borderRadius: [2, 2, 0, 0] },
            data: series.counts.map((count) => ({ count, value: count / Math.max(1, series.counts.reduce((sum, each) => sum + each, 0)) })),
          })),
        },
      };
    },

    /* Stars by split or by film: one bar of five parts a row. */
    stacked(data) {
      const share = (row, star) => row.counts[star - 1] / Math.max(1, row.counts.reduce((sum, each) => sum + each, 0));
      const named = names(data.rows.map((row) => row.label), 150);
      return {
        height: 66 + Math.max(40, named.lines * named.label.lineHeight + 8) * data.rows.length,
        option: {
          ...base(),
          grid: { left: named.left, right: 24, top: 34, bottom: 30 },
          tooltip: { ...base().tooltip, trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: faded(colour("muted"), 0.12) } },
            formatter: (points) => note(points[0].name, points.map((point) => `${point.seriesName}: ${percent(point.value)} (${number(data.rows[point.dataIndex].counts[point.seriesIndex])})`)) },
          xAxis: axis({ type: "value", max: 1, label: { formatter: (value) => percent(value, 0) } }),
          yAxis: axis({ type: "category", inverse: true, data: data.rows.map((row) => row.label), label: named.label }),
          series: STARS.map((star) => ({
            name: `${star} ★`, type: "bar", stack: "stars", barMaxWidth: 28, itemStyle: { color: starColour(star), borderColor: colour("paper"), borderWidth: 1 },
            data: data.rows.map((row) => share(row, star)),
          })),
        },
      };
    },

    /* Lines in panels below each other: the course of a training. */
    lines(data) {
      const panels = data.panels.length;
      const top = 40, height = 120, gap = 60;
      const series = data.panels.flatMap((panel, place) => panel.series.map((line, index) => ({
        name: line.name, type: "line", xAxisIndex: place, yAxisIndex: place, data: line.values.map((value, at) => [data.x[at], value]),
        symbolSize: 6, lineStyle: { width: 2 }, color: index === panel.main ? colour("accent") : colour("muted"),
        markLine: index === 0 && data.mark !== undefined ? { silent: true, symbol: "none", label: { show: place === 0, formatter: data.mark.label, color: colour("muted") },
          lineStyle: { color: colour("muted"), type: "dotted" }, data: [{ xAxis: data.mark.x }] } : undefined,
      })));
      return {
        height: top + panels * (height + gap) - gap + 34,
        option: {
          ...base(),
          tooltip: { ...base().tooltip, trigger: "axis", formatter: (points) => note(`${data.words.x} ${points[0].value[0]}`,
            points.map((point) => `${point.seriesName}: ${(data.panels[point.axisIndex ?? 0].percent ? percent : (value) => number(value, 3))(point.value[1])}`)) },
          axisPointer: { link: [{ xAxisIndex: "all" }] },
          legend: data.panels.map((panel, place) => ({ ...base().legend, top: place * (height + gap), data: panel.series.map((line) => line.name) })),
          grid: data.panels.map((_, place) => ({ left: 52, right: 20, top: top + place * (height + gap), height })),
          xAxis: data.panels.map((_, place) => axis({ type: "value", gridIndex: place, min: data.x[0], max: data.x.at(-1), minInterval: 1, splitLine: { show: false }, label: { show: place === panels - 1 } })),
          yAxis: data.panels.map((panel, place) => axis({ type: "value", gridIndex: place, scale: true, splitNumber: 3, label: { formatter: panel.percent ? (value) => percent(value, 0) : (value) => number(value, 2) } })),
          series,
        },
      };
    },

    /* Words with a number each, largest first; to both sides of zero where asked. */
    ranked(data) {
      const write = writer(data);
      const items = data.items;
      const named = names(items.map((item) => item.word), 110);
      return {
        height: Math.max(96, 30 + 21 * items.length),
        option: {
          ...base(),
          grid: { left: named.left, right: items.some((item) => item.value > 0) ? 56 : 12, top: 6, bottom: 6 },
          tooltip: { ...base().tooltip, formatter: ({ data: item }) => note(item.name, [`${data.words.value}: ${write(item.value)}`, ...(item.notes ?? [])]) },
          xAxis: axis({ type: "value", min: (range) => Math.min(0, 1.2 * range.min), label: { show: false }, splitLine: { show: false } }),
          yAxis: axis({ type: "category", inverse: true, data: items.map((item) => item.word), splitLine: { show: false },
            label: { ...named.label, overflow: "truncate" } }),
          series: [{
            type: "bar", barCategoryGap: "28%",
            data: items.map((item) => ({ name: item.word, value: item.value, notes: item.notes,
              itemStyle: { color: item.star ? starColour(item.star) : item.value < 0 ? colour("warning") : colour("accent"), borderRadius: 2 },
              label: { position: item.value < 0 ? "left" : "right" } })),
            label: { show: true, color: colour("muted"), fontSize: size() - 1, formatter: ({ value }) => write(value) },
          }],
        },
      };
    },

    /* Ratings and their number over time. */
    timeline(data) {
      const labels = data.bins.map((bin) => bin.label);
      return {
        height: 400,
        option: {
          ...base(),
          tooltip: { ...base().tooltip, trigger: "axis", formatter: (points) => {
            const bin = data.bins[points[0].dataIndex];
            const lines = [`${number(bin.n)} ${data.words.reviews}`];
            if (bin.mean !== null) lines.push(`${data.words.mean}: ${number(bin.mean, 2)} (${number(bin.low, 2)} – ${number(bin.high, 2)})`);
            return note(bin.label, lines);
          } },
          legend: { ...base().legend, data: [data.words.mean, data.words.reviews] },
          dataZoom: labels.length > 12 ? [zoom(), zoom("slider", { bottom: 4, height: 22, borderColor: colour("rule"), fillerColor: faded(colour("accent"), 0.12), textStyle: { color: colour("muted") }, xAxisIndex: [0, 1] })] : [],
          axisPointer: { link: [{ xAxisIndex: "all" }] },
          grid: [{ left: 52, right: 20, top: 40, height: 170 }, { left: 52, right: 20, top: 236, height: 80 }],
          xAxis: [0, 1].map((place) => axis({ type: "category", gridIndex: place, data: labels, splitLine: { show: false }, label: { show: place === 1 } })),
          yAxis: [
            axis({ type: "value", min: (range) => Math.max(1, Math.floor(range.min - 0.3)), max: (range) => Math.min(5, Math.ceil(range.max + 0.3)), gridIndex: 0, splitNumber: 4 }),
            axis({ type: "value", gridIndex: 1, splitNumber: 2, label: { formatter: (value) => number(value) } }),
          ],
          series: [
            { type: "custom", silent: true, data: data.bins.map((bin, place) => [place, bin.low, bin.high]), encode: { x: 0, y: [1, 2] },
              renderItem(_, api) {
                if (data.bins[api.value(0)].mean === null) return null;
                const [x, low] = api.coord([api.value(0), api.value(1)]);
                const [, high] = api.coord([api.value(0), api.value(2)]);
                return { type: "line", shape: { x1: x, x2: x, y1: low, y2: high }, style: { stroke: colour("accent"), lineWidth: 2, opacity: 0.4 } };
              } },
            { name: data.words.mean, type: "line", data: data.bins.map((bin) => bin.mean), connectNulls: true, symbolSize: 7, color: colour("accent"), lineStyle: { width: 2 } },
            { name: data.words.reviews, type: "bar", xAxisIndex: 1, yAxisIndex: 1, data: data.bins.map((bin) => bin.n), color: faded(colour("muted"), 0.6), barMaxWidth: 26 },
          ],
        },
      };
    },

    /* How sure against how often right. */
    reliability(data) {
      const bins = data.bins;
      const most = Math.max(...bins.map((bin) => bin.n));
      return {
        height: 360,
        option: {
          ...base(),
          grid: { left: 12, right: 24, top: 20, bottom: 36, containLabel: true },
          tooltip: { ...base().tooltip, formatter: ({ data: item }) => note(`${data.words.confidence}: ${percent(item.bin.confidence)}`,
            [`${data.words.accuracy}: ${percent(item.bin.accuracy)} (${percent(item.bin.low)} – ${percent(item.bin.high)})`, `${number(item.bin.n)} ${data.words.reviews}`]) },
          xAxis: axis({ type: "value", min: 0, max: 1, name: data.words.confidence, nameLocation: "middle", nameGap: 28, splitLine: { show: false }, label: { formatter: (value) => percent(value, 0) } }),
          yAxis: axis({ type: "value", min: 0, max: 1, label: { formatter: (value) => percent(value, 0) } }),
          series: [
            { type: "line", silent: true, symbol: "none", data: [[0, 0], [1, 1]], lineStyle: { color: colour("muted"), type: "dashed", width: 1 } },
            { type: "custom", silent: true, data: bins.map((bin) => [bin.confidence, bin.low, bin.high]), encode: { x: 0, y: [1, 2] },
              renderItem(_, api) {
                const [x, low] = api.coord([api.value(0), api.value(1)]);
                const [, high] = api.coord([api.value(0), api.value(2)]);
                return { type: "line", shape: { x1: x, x2: x, y1: low, y2: high }, style: { stroke: colour("accent"), lineWidth: 2, opacity: 0.5 } };
              } },
            { type: "scatter", data: bins.map((bin) => ({ value: [bin.confidence, bin.accuracy], bin })), color: colour("accent"),
              symbolSize: (_, { data: item }) => 6 + 16 * Math.sqrt(item.bin.n / most) },
          ],
        },
      };
    },

    /* Reviews as points; the places and the colours can be changed. */
    map(data) {
      const points = globalThis.mapPoints ?? JSON.parse(document.getElementById("map-points").textContent);
      return {
        height: Math.min(620, Math.max(360, document.documentElement.clientWidth * 0.8)),
        renderer: "canvas",
        switches: [data.views.map((view) => view.name), ...(data.film === undefined ? [[data.words.star, data.words.film]] : [])],
        option: ([view, byFilm = 0]) => {
          const places = points[data.views[view].key];
          const among = (index) => data.film === undefined || points.film[index] === data.film;
          const groups = byFilm
            ? [...points.films.slice(0, 10).map((name, film) => ({ name, film, tint: FILM_COLOURS[film % FILM_COLOURS.length] })), ...(points.films.length > 10 ? [{ name: data.words.others, tint: colour("muted"), others: true }] : [])]
            : STARS.map((star) => ({ name: `${star} ★`, star, tint: starColour(star) }));
          const belongs = (group, index) => (byFilm ? (group.others ? points.film[index] >= 10 || points.film[index] < 0 : points.film[index] === group.film) : points.star[index] === group.star);
          const all = [...points.star.keys()].filter((index) => data.film !== undefined || points.test[index]);
          const series = groups.map((group) => ({
            name: group.name, type: "scatter", progressive: 0, symbolSize: all.length > 8000 ? 4 : 6, itemStyle: { color: group.tint, opacity: 0.72 }, z: 3,
            data: all.filter((index) => among(index) && belongs(group, index)).map((index) => ({ value: places[index], index })),
          }));
          if (data.film !== undefined) {
            series.unshift({ name: data.words.others, type: "scatter", progressive: 0, symbolSize: 4, itemStyle: { color: colour("muted"), opacity: 0.16 }, z: 2, silent: true,
              data: all.filter((index) => !among(index)).map((index) => ({ value: places[index], index })) });
          }
          const bare = { show: false, scale: true, type: "value" };
          const below = document.documentElement.clientWidth < 600 ? 24 : 0;
          return {
            ...base(), animation: false,
            legend: { ...base().legend, type: "scroll", right: below ? 0 : 90 },
            toolbox: { top: below - 4, right: 0, itemSize: 16, iconStyle: { borderColor: colour("muted") }, emphasis: { iconStyle: { borderColor: colour("accent") } },
              feature: { dataZoom: { title: { zoom: data.words.zoom, back: data.words.back }, xAxisIndex: 0, yAxisIndex: 0, filterMode: "none" }, restore: { title: data.words.whole } } },
            grid: { left: 4, right: 4, top: 36 + below, bottom: 4 },
            tooltip: { ...base().tooltip, formatter: ({ data: item }) => {
              const film = points.films[points.film[item.index]];
              return note(`${points.star[item.index]} ★${film ? ` · ${film}` : ""}`, [points.text[item.index]]);
            } },
            dataZoom: [zoom("inside", { xAxisIndex: 0 }), zoom("inside", { yAxisIndex: 0 })],
            xAxis: bare, yAxis: bare, series,
          };
        },
      };
    },
  };

  const FILM_COLOURS = ["#2a67ab", "#de8f5f", "#5a9e6f", "#b2432f", "#8a6fb0", "#b59a3c", "#4aa3a3", "#c46f9b", "#7d7468", "#6fa3cc"];

  const reference = (mark) => (mark === undefined || mark === null ? [] : [{
    type: "line", silent: true, data: [], markLine: { silent: true, symbol: "none", lineStyle: { color: colour("muted"), type: "dashed" },
      label: { formatter: mark.label, color: colour("muted"), position: "start", distance: 2 }, data: [{ xAxis: mark.value }] },
  }]);

  /* A figure that was brought to life: drawn again when the page's width or colours change. */
  class Live {
    constructor(figure, script) {
      this.figure = figure;
      this.data = JSON.parse(script.textContent);
      this.kind = script.dataset.kind;
      this.chosen = [];
      this.switches = document.createElement("div");
      this.switches.className = "switches";
      this.element = document.createElement("div");
      this.element.className = "live";
      this.element.dataset.chart = this.kind;
      this.element.setAttribute("role", "img");
      this.element.setAttribute("aria-label", script.dataset.label);
      script.after(this.switches, this.element);
      figure.classList.add("is-live");
      figure.dataset.chart = this.kind;
      this.draw();
    }

    draw() {
      const built = builders[this.kind](this.data);
      if (built.switches && !this.switches.childElementCount) built.switches.forEach((names, place) => this.addSwitch(names, place));
      this.element.style.height = `${built.height}px`;
      this.chart?.dispose();
      this.chart = echarts.init(this.element, null, { renderer: built.renderer ?? "svg" });
      this.chart.setOption(typeof built.option === "function" ? built.option(this.chosen) : built.option);
    }

    addSwitch(names, place) {
      this.chosen[place] = 0;
      const group = this.switches.appendChild(document.createElement("div"));
      group.setAttribute("role", "group");
      names.forEach((name, index) => {
        const button = group.appendChild(document.createElement("button"));
        button.type = "button";
        button.textContent = name;
        button.setAttribute("aria-pressed", String(index === 0));
        button.addEventListener("click", () => {
          this.chosen[place] = index;
          [...group.children].forEach((each, at) => each.setAttribute("aria-pressed", String(at === index)));
          this.draw();
        });
      });
    }
  }

  /* Charts below the fold are drawn when they come near, so that a long page opens at once. */
  const lives = new Set();
  const scripts = [...document.querySelectorAll("script[data-kind]")];
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      near.unobserve(entry.target);
      lives.add(new Live(entry.target, entry.target.querySelector("script[data-kind]")));
    }
  }, { rootMargin: "600px" });
  document.fonts.ready.then(() => scripts.forEach((script) => near.observe(script.closest("figure"))));

  let drawn = document.documentElement.clientWidth;
  new ResizeObserver(() => {
    if (document.documentElement.clientWidth === drawn || matchMedia("print").matches) return;
    drawn = document.documentElement.clientWidth;
    lives.forEach((live) => live.draw());
  }).observe(document.documentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => lives.forEach((live) => live.draw()));

  /* Tables whose rows the reader may put in another order: the headings become buttons. What has no value comes last. */
  for (const table of document.querySelectorAll("table.sortable")) {
    const compare = new Intl.Collator(document.documentElement.lang).compare;
    const headings = [...table.tHead.rows[0].cells];
    const words = (row, place) => row.cells[place].textContent.trim();
    const value = (row, place) => row.cells[place].dataset.value;
    table.classList.add("is-live");
    headings.forEach((heading, place) => {
      if (!heading.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const turned = { ascending: "descending", descending: "ascending" };
        const before = heading.getAttribute("aria-sort");
        const order = before === null ? heading.dataset.sort : turned[before];
        const sign = order === "ascending" ? 1 : -1;
        headings.forEach((each) => each.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", order);
        const rows = [...table.tBodies[0].rows];
        const known = rows.filter((row) => place === 0 || value(row, place) !== undefined);
        known.sort((one, other) => sign * (place === 0 ? compare(words(one, 0), words(other, 0)) : value(one, place) - value(other, place)));
        table.tBodies[0].append(...known, ...rows.filter((row) => !known.includes(row)));
      });
    });
  }

  /* Where words are shaded by more than one measure, the reader chooses which. */
  for (const choice of document.querySelectorAll("[data-shade-by]")) {
    choice.addEventListener("click", () => {
      document.documentElement.dataset.shade = choice.dataset.shadeBy;
      document.querySelectorAll("[data-shade-by]").forEach((each) => each.setAttribute("aria-pressed", String(each.dataset.shadeBy === choice.dataset.shadeBy)));
    });
  }
})();
