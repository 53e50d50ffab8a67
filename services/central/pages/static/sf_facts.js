// What a page is about: its name, and what is known beside the flows.
export default {
  template: `
    <section class="sf-facts" :aria-label="model.title">
      <h1>{{ model.title }} <small v-if="model.kind">{{ model.kind }}</small></h1>
      <dl><div v-for="fact in model.facts" :key="fact.label" :title="fact.title"><dt>{{ fact.label }}</dt>
        <dd><a v-if="fact.href" :href="fact.href">{{ fact.value }}</a><template v-else>{{ fact.value }}</template></dd></div></dl>
    </section>`,
  props: { model: Object },
};
