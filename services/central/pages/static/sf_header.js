// The bar on top: where one is, how fresh the numbers are, and every choice of the address.
export default {
  template: `
    <header class="sf-top" @keydown.esc="close">
      <a class="sf-skip" href="#main">Skip to the numbers</a>
      <div class="sf-bar">
        <a class="sf-brand" :href="model.home" aria-label="steadflow, overview">
          <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true"><path d="M2 8c4-5 7-5 10 0s6 5 10 0" /><path d="M2 16c4-5 7-5 10 0s6 5 10 0" /></svg>
          <b>steadflow</b>
        </a>
        <nav class="sf-crumbs" aria-label="Where you are">
          <template v-for="crumb in model.crumbs"><i aria-hidden="true">/</i>
            <a v-if="crumb.href" :href="crumb.href">{{ crumb.label }}</a><span v-else aria-current="page">{{ crumb.label }}</span>
          </template>
        </nav>
        <span class="sf-grow"></span>
        <span class="sf-status" :class="'sf-' + model.status.level" :title="model.status.sentence" role="status" aria-live="off">
          <i aria-hidden="true"></i><span>{{ model.status.word }}</span><span class="sf-lag" v-if="lag">{{ lag }}</span>
        </span>
        <span class="sf-central" title="This central answers; another one has the same numbers">{{ model.central }}</span>
        <a class="sf-tool" :href="model.theme.href" :title="model.theme.title" :aria-label="model.theme.title">{{ model.theme.sign }}</a>
        <a class="sf-tool sf-to-failover" :href="model.failover" title="Who is primary, standbys, drills, history">Failover</a>
        <a class="sf-tool sf-api" href="/docs" title="The API behind these numbers">API</a>
        <template v-if="model.account">
          <a class="sf-tool sf-account" :href="model.administration" title="Settings, password, API tokens, and who changed what">{{ model.account }}</a>
          <form class="sf-out" method="post" action="/logout"><button type="submit">Log out</button></form>
        </template>
        <a v-else class="sf-tool" href="/login" title="To change anything" @click.prevent="logIn">Log in</a>
      </div>
      <div v-if="!model.timeless" class="sf-bar sf-controls">
        <div class="sf-menu" ref="range">
          <button type="button" class="sf-button" :aria-expanded="open === 'range'" aria-haspopup="dialog" @click="toggle('range')">
            <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><circle cx="8" cy="8" r="6.3" /><path d="M8 4.5V8l2.4 1.6" /></svg>
            {{ rangeLabel }}</button>
          <div v-if="open === 'range'" class="sf-popup sf-range" role="dialog" aria-label="Time range">
            <ul><li v-for="preset in model.presets"><a :href="preset.href" :aria-current="preset.chosen ? 'true' : null" @click="close">{{ preset.label }}</a></li></ul>
            <form @submit.prevent="apply">
              <h3>From – to</h3>
              <label>From <input v-model="from" spellcheck="false" autocomplete="off" aria-label="From" placeholder="now-3h"></label>
              <label>To <input v-model="to" spellcheck="false" autocomplete="off" aria-label="To" placeholder="now"></label>
              <p class="sf-hint" :class="{ 'sf-wrong': wrong }">{{ wrong || 'now-3h, or 2026-03-02 14:30 in ' + zone }}</p>
              <button type="submit" class="sf-button sf-strong">Apply</button>
              <p class="sf-zones">Times in <a v-for="choice in model.zones" :href="choice.href" :aria-current="choice.chosen ? 'true' : null">{{ choice.label || zoneName }}</a></p>
            </form>
          </div>
        </div>
        <div class="sf-group" role="group" aria-label="Move in time">
          <a class="sf-button" :href="model.earlier" title="Earlier" aria-label="Earlier">‹</a>
          <a class="sf-button" :href="model.wider" title="Zoom out" aria-label="Zoom out">−</a>
          <a class="sf-button" :href="model.later" title="Later" aria-label="Later">›</a>
        </div>
        <div class="sf-menu" ref="refresh">
          <button type="button" class="sf-button" :aria-expanded="open === 'refresh'" aria-haspopup="true" @click="toggle('refresh')" :title="'Numbers are asked again: ' + model.refresh.label">
            <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><path d="M13.5 8a5.5 5.5 0 1 1-1.7-4" /><path d="M12.4 1.2v3.1H9.3" /></svg>
            {{ model.refresh.label }}</button>
          <ul v-if="open === 'refresh'" class="sf-popup"><li v-for="choice in model.refresh.items"><a :href="choice.href" :aria-current="choice.chosen ? 'true' : null" @click="close">{{ choice.label }}</a></li></ul>
        </div>
        <form class="sf-add" @submit.prevent="add">
          <input v-model="typed" :list="'sf-filter-names'" spellcheck="false" autocomplete="off" aria-label="Add a filter" placeholder="Filter: 10.0.0.0/8, tcp/443, src_as=64500">
          <datalist id="sf-filter-names"><option v-for="name in model.filter_names" :value="name + '='"></option></datalist>
        </form>
        <ul class="sf-chips" aria-label="Filters">
          <li v-for="chip in model.chips" :key="chip.label + chip.value"><a :href="chip.href" :title="'Remove ' + chip.label + ' ' + chip.value"><small>{{ chip.label }}</small> {{ chip.value }}<i aria-hidden="true">×</i></a></li>
          <li v-if="model.chips.length > 1"><a class="sf-clear" :href="model.clear">Clear all</a></li>
        </ul>
      </div>
      <p v-if="model.ignored" class="sf-ignored" role="alert">{{ model.ignored }}</p>
    </header>`,
  props: { model: Object },
  data: () => ({ open: null, from: "", to: "", typed: "", wrong: "", zone: "", ticks: 0 }),
  computed: {
    lag() {
      return this.model.status.lag;
    },
    zoneName() {
      return Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
    },
    rangeLabel() {
      void this.ticks;
      return this.model.range.label || steadflow.rangeText(this.model.range.from_ms, this.model.range.to_ms);
    },
  },
  mounted() {
    this.outside = (event) => {
      if (this.open && !this.$refs[this.open].contains(event.target)) this.close();
    };
    document.addEventListener("pointerdown", this.outside);
    this.zones = new MutationObserver(() => (this.ticks += 1));
    this.zones.observe(document.documentElement, { attributeFilter: ["data-zone"] });
  },
  beforeUnmount() {
    document.removeEventListener("pointerdown", this.outside);
    this.zones.disconnect();
  },
  methods: {
    close() {
      this.open = null;
    },
    logIn() {
      location.href = steadflow.loginAddress();
    },
    toggle(name) {
      this.open = this.open === name ? null : name;
      this.wrong = "";
      this.zone = steadflow.zoneText();
      if (this.open === "range") {
        this.from = shown(this.model.range.from);
        this.to = shown(this.model.range.to);
      }
    },
    apply() {
      const from = typedInstant(this.from);
      const to = typedInstant(this.to || "now");
      if (!from || !to) {
        this.wrong = `“${from ? this.to : this.from}” is no time`;
      } else if (from.startsWith("now") !== to.startsWith("now")) {
        this.wrong = "Both relative, or both not";
      } else if (!from.startsWith("now") && from >= to) {
        this.wrong = "“From” is not before “To”";
      } else {
        this.close();
        steadflow.navigate(steadflow.withRange(from, to));
      }
    },
    add() {
      const text = this.typed.trim();
      if (!text) return;
      this.typed = "";
      emitEvent("steadflow_filter", text);
    },
  },
};

function shown(text) {
  if (text.startsWith("now")) return text;
  const at = new Date(text);
  const utc = steadflow.root.dataset.zone === "UTC";
  const local = new Date(at.getTime() - (utc ? 0 : at.getTimezoneOffset() * 60_000));
  return local.toISOString().slice(0, 16).replace("T", " ");
}

function typedInstant(text) {
  const typed = text.trim();
  if (/^now(-\d{1,9}[smhdw])?$/.test(typed)) return typed;
  if (/^-\d{1,9}[smhdw]$/.test(typed)) return "now" + typed;
  const utc = steadflow.root.dataset.zone === "UTC";
  const bare = /^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?$/.test(typed);
  const full = typed.length === 10 ? typed + "T00:00" : typed.replace(" ", "T");
  const at = new Date(bare && utc ? full + "Z" : full);
  return Number.isNaN(at.getTime()) ? null : at.toISOString().replace(".000Z", "Z");
}
