// Machines that join or stand by: how far each is, and its checks that need somebody.
export default {
  template: `
    <section v-if="model.machines.length" class="sf-panel" aria-label="Machines">
      <header class="sf-panel-head"><h2>Machines that join or stand by</h2><span class="sf-grow"></span><span class="sf-note">as each says itself; checks are made again every day</span></header>
      <article v-for="each in model.machines" :key="each.name" class="sf-machine" :aria-label="each.name">
        <p class="sf-machine-head"><b>{{ each.name }}</b><span class="sf-mark"><i :class="'sf-' + each.level" aria-hidden="true"></i>{{ each.says }}</span>
          <span v-if="each.kind" class="sf-quiet">{{ each.kind }}</span><span v-if="each.heard" class="sf-warn">{{ each.heard }}</span>
          <span class="sf-grow"></span><span v-if="each.greens" class="sf-quiet">{{ each.greens }} green<template v-if="each.checked">, checked {{ time(each.checked) }}</template></span></p>
        <p v-if="each.copy" class="sf-machine-copy"><progress :value="each.copy.share" max="1" :aria-label="'Copy of ' + each.name"></progress><span>{{ each.copy.text }}</span></p>
        <p v-if="each.pace" :class="each.pace_level === 'good' ? 'sf-quiet' : 'sf-' + each.pace_level">{{ each.pace }}</p>
        <p v-if="each.problem" class="sf-wrong" role="alert">{{ each.problem }}</p>
        <div v-if="each.lines.length" class="sf-plain-box"><table class="sf-plain" :aria-label="'Checks of ' + each.name"><tbody>
          <tr v-for="line in each.lines" :key="line.check"><td><span class="sf-mark"><i :class="'sf-' + line.level" aria-hidden="true"></i>{{ line.light }}</span></td><td>{{ line.check }}</td><td>{{ line.found }}</td><td class="sf-quiet">{{ line.remedy }}</td></tr>
        </tbody></table></div>
      </article>
    </section>`,
  props: { model: Object },
  data: () => ({ ticks: 0 }),
  mounted() {
    this.zones = new MutationObserver(() => (this.ticks += 1));
    this.zones.observe(document.documentElement, { attributeFilter: ["data-zone"] });
  },
  beforeUnmount() {
    this.zones.disconnect();
  },
  methods: {
    time(ms) {
      void this.ticks;
      return ms ? steadflow.timeText(ms) : "";
    },
  },
};
