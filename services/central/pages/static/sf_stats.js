// Headline numbers, and losses where there are any.
export default {
  template: `
    <section class="sf-stats" aria-label="Totals of the range" :aria-busy="model.busy ? 'true' : 'false'">
      <dl>
        <div v-for="stat in model.stats" :title="stat.title"><dt>{{ stat.label }}</dt><dd>{{ stat.value }}</dd></div>
      </dl>
      <div v-if="model.losses.length" class="sf-losses" role="note" aria-label="Losses">
        <b>Lost in this range</b>
        <ul><li v-for="loss in model.losses" :key="loss.reason" :title="loss.title">{{ loss.text }}</li></ul>
      </div>
      <span v-if="model.note" class="sf-note" role="note">{{ model.note }}</span>
      <p v-if="model.trouble" class="sf-trouble" role="alert">{{ model.trouble }}</p>
    </section>`,
  props: { model: Object },
};
