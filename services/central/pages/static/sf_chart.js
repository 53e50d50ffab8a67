// Rates over time: one panel with title, choices, legend and chart. Drag across it to zoom.
// The bundle comes after the first paint.
const bundle = import("nicegui-echart");

const MIN_DRAG_PX = 6;

export default {
  template: `
    <section class="sf-panel sf-chart-panel" :aria-busy="model.busy ? 'true' : 'false'">
      <header class="sf-panel-head">
        <h2>{{ model.title }}</h2>
        <nav v-for="group in model.choices || []" class="sf-tabs" :aria-label="group.label">
          <a v-for="choice in group.items" :href="choice.href" :aria-current="choice.chosen ? 'true' : null">{{ choice.label }}</a>
        </nav>
        <span class="sf-grow"></span>
        <span v-if="model.note" class="sf-note">{{ model.note }}</span>
      </header>
      <ul v-if="(model.legend || []).length" class="sf-legend">
        <li v-for="entry in model.legend" :key="entry.name">
          <component :is="entry.href ? 'a' : 'span'" :href="entry.href" :title="entry.title">
            <i class="sf-swatch" :style="{ background: entry.colour }" aria-hidden="true"></i>
            <span>{{ entry.name }}</span> <b v-if="entry.value">{{ entry.value }}</b>
          </component>
        </li>
      </ul>
      <div class="sf-plot" :class="{ 'sf-tall': model.tall }">
        <div ref="plot" class="sf-canvas" role="img" :aria-label="model.spoken" @pointerdown="begin"></div>
        <div v-if="drag" class="sf-drag" :style="drag.style"></div>
        <p v-if="model.trouble" class="sf-trouble" role="alert">{{ model.trouble }}</p>
        <p v-else-if="model.empty" class="sf-empty">{{ model.empty }}</p>
      </div>
    </section>`,
  props: { model: Object },
  data: () => ({ drag: null }),
  async mounted() {
    const { echarts } = await bundle;
    if (!this.$refs.plot) return;
    this.chart = echarts.init(this.$refs.plot, null, { renderer: "canvas" });
    this.chart.on("click", (point) => {
      const href = this.model.options?.sf.hrefs[point.seriesIndex];
      if (href) steadflow.navigate(href);
    });
    this.observer = new ResizeObserver(() => this.chart.resize());
    this.observer.observe(this.$refs.plot);
    this.themes = new MutationObserver(() => this.draw(true));
    this.themes.observe(document.documentElement, { attributeFilter: ["data-theme", "data-zone"] });
    this.draw(true);
  },
  beforeUnmount() {
    this.observer?.disconnect();
    this.themes?.disconnect();
    this.chart?.dispose();
  },
  watch: {
    "model.options": {
      handler() {
        this.draw(false);
      },
    },
  },
  methods: {
    draw(afresh) {
      const given = this.model.options;
      if (!given || !this.chart) return;
      const zone = steadflow.root.dataset.zone;
      const options = resolved(structuredClone(Vue.toRaw(given)));
      const { unit, step_ms: step } = options.sf;
      options.useUTC = zone === "UTC";
      options.yAxis.axisLabel.formatter = (value) => steadflow.withUnit(value, unit, true);
      options.tooltip.formatter = (points) => tooltip(points, unit, step);
      Object.assign(options.tooltip, {
        className: "sf-tooltip", backgroundColor: "", borderWidth: 0, padding: 0, extraCssText: "", confine: true,
        textStyle: { color: "inherit" },
      });
      delete options.sf;
      const names = options.series.map((each) => each.name).join();
      // Series of the same names are changed in place: nothing flickers, a tooltip stays.
      this.chart.setOption(options, { notMerge: afresh || names !== this.names });
      this.names = names;
    },
    begin(event) {
      if (event.button || !this.chart || !this.model.options) return;
      const box = this.$refs.plot.getBoundingClientRect();
      const inside = (x) => {
        const grid = this.chart.getModel().getComponent("grid").coordinateSystem.getRect();
        return Math.min(Math.max(x - box.left, grid.x), grid.x + grid.width);
      };
      const start = inside(event.clientX);
      const move = (next) => {
        const end = inside(next.clientX);
        const left = Math.min(start, end);
        const width = Math.abs(end - start);
        this.drag = width < MIN_DRAG_PX ? null : { left, width, style: { left: `${left}px`, width: `${width}px` } };
      };
      const finish = (last) => {
        removeEventListener("pointermove", move);
        removeEventListener("pointerup", finish);
        removeEventListener("pointercancel", finish);
        const chosen = this.drag;
        this.drag = null;
        if (last.type === "pointercancel" || !chosen) return;
        const at = (x) => this.chart.convertFromPixel({ xAxisIndex: 0 }, x);
        const step = 60_000;
        const from = Math.floor(at(chosen.left) / step) * step;
        const to = Math.max(Math.ceil(at(chosen.left + chosen.width) / step) * step, from + step);
        steadflow.navigate(steadflow.withRange(instant(from), instant(to)));
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", finish);
      addEventListener("pointercancel", finish);
    },
  },
};

function instant(ms) {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

function resolved(value, style = getComputedStyle(document.documentElement)) {
  if (typeof value === "string" && value.startsWith("var(")) return style.getPropertyValue(value.slice(4, -1)).trim();
  if (value && typeof value === "object") {
    for (const key in value) value[key] = resolved(value[key], style);
  }
  return value;
}

function tooltip(points, unit, step) {
  const shown = points.filter((point) => Array.isArray(point.value) && Number.isFinite(point.value[1]));
  const at = points[0].axisValue;
  const box = document.createElement("div");
  box.className = "sf-tip";
  const head = document.createElement("div");
  head.className = "sf-tooltip-head";
  head.textContent = steadflow.rangeText(at, at + step);
  box.append(head);
  const largest = [...shown].sort((a, b) => Math.abs(b.value[1]) - Math.abs(a.value[1]));
  for (const point of largest.slice(0, 10)) {
    const line = document.createElement("div");
    line.className = "sf-tooltip-line";
    const swatch = document.createElement("i");
    swatch.className = "sf-swatch";
    swatch.style.background = point.color;
    const name = document.createElement("span");
    name.textContent = point.seriesName;
    const value = document.createElement("b");
    value.textContent = steadflow.withUnit(point.value[1], unit);
    line.append(swatch, name, value);
    box.append(line);
  }
  return box;
}
