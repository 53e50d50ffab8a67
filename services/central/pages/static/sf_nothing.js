// In place of everything else while there are no flows: what to do next.
export default {
  template: `
    <section v-if="model.kind !== 'none'" class="sf-nothing" :class="'sf-nothing-' + model.kind" :aria-label="model.title">
      <h1>{{ model.title }}</h1>
      <p v-if="model.kind === 'first'" class="sf-nothing-lead">{{ model.lead }} <code>{{ model.target }}</code></p>
      <p v-else-if="model.lead" class="sf-nothing-lead">{{ model.lead }}</p>
      <p v-if="model.warning" class="sf-nothing-warning" role="note">{{ model.warning }}</p>
      <p v-if="model.actions.length" class="sf-nothing-actions">
        <a v-for="action in model.actions" :key="action.label" :href="action.href" class="sf-button" :class="{ 'sf-strong': action.strong }">{{ action.label }}</a>
      </p>
      <ul v-if="model.facts.length" class="sf-nothing-facts" aria-label="What arrives so far">
        <li v-for="fact in model.facts" :key="fact.text" :class="'sf-' + fact.level"><i aria-hidden="true"></i><div>{{ fact.text }}<small v-if="fact.detail">{{ fact.detail }}</small></div></li>
      </ul>
      <div v-if="model.snippets.length" class="sf-snippets">
        <div class="sf-tabs" role="tablist" aria-label="Platform">
          <button v-for="snippet in model.snippets" :key="snippet.key" type="button" role="tab" :id="'tab-' + snippet.key"
            :aria-selected="snippet.key === shown.key ? 'true' : 'false'" aria-controls="sf-snippet" :tabindex="snippet.key === shown.key ? 0 : -1"
            @click="chosen = snippet.key" @keydown.right="step(1)" @keydown.left="step(-1)">{{ snippet.title }}</button>
        </div>
        <div id="sf-snippet" role="tabpanel" :aria-labelledby="'tab-' + shown.key">
          <div class="sf-snippet-box">
            <pre ref="text" tabindex="0">{{ shown.text }}</pre>
            <button type="button" class="sf-button sf-copy" @click="copy">{{ copied === shown.key ? "Copied" : "Copy" }}</button>
          </div>
          <p class="sf-hint"><template v-for="(part, at) in shown.hint.split('\x60')"><code v-if="at % 2">{{ part }}</code><template v-else>{{ part }}</template></template></p>
          <p class="sf-hint">This page shows the first flows by itself, some seconds after they came.</p>
        </div>
      </div>
    </section>`,
  props: { model: Object },
  data: () => ({ chosen: null, copied: null }),
  computed: {
    shown() {
      return this.model.snippets.find((each) => each.key === this.chosen) || this.model.snippets[0];
    },
  },
  methods: {
    step(by) {
      const keys = this.model.snippets.map((each) => each.key);
      this.chosen = keys[(keys.indexOf(this.shown.key) + by + keys.length) % keys.length];
      this.$nextTick(() => document.getElementById("tab-" + this.chosen)?.focus());
    },
    async copy() {
      const text = this.shown.text + "\n";
      // Browsers give the clipboard to https and localhost only; others select the text.
      const written = navigator.clipboard?.writeText(text).then(() => true, () => false);
      if (!(await written) && !copySelected(this.$refs.text)) return;
      this.copied = this.shown.key;
      setTimeout(() => (this.copied = null), 2000);
    },
  },
};

function copySelected(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  return document.execCommand("copy");
}
