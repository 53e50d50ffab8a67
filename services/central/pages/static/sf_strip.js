// The failover strip: who is primary, both nodes, the last takeover; and the way to the other
// central when this one is gone. A change needs the token, which is kept nowhere.
const GONE_MS = 1500;
const ASK_MS = 1500;

export default {
  template: `
    <section v-if="model.state !== 'none' || gone" class="sf-strip" aria-label="Failover">
      <p v-if="gone" class="sf-gone" role="alert">{{ model.here }} does not answer.
        <template v-if="going">Going on from {{ going }}…</template>
        <template v-else>No other central answers yet; trying again.</template></p>
      <template v-else>
        <span v-if="model.primary" class="sf-holder"><b>{{ model.primary }}</b> is primary
          <small>for {{ model.since }}, epoch {{ model.epoch }}</small></span>
        <span v-else class="sf-bad" role="alert">No primary: every flow is still counted</span>
        <ul>
          <li v-for="node in model.nodes" :key="node.name" :title="node.title">
            <i :class="'sf-' + node.level" aria-hidden="true"></i>
            <a v-if="!node.here && node.url" :href="there(node.url)">{{ node.name }}</a><span v-else>{{ node.name }}</span>
            <small>{{ node.role }}{{ node.role ? ', ' : '' }}{{ node.word }}</small>
          </li>
        </ul>
        <span v-if="model.paused" class="sf-warn" title="Nobody is replaced but by a person">Paused</span>
        <span v-if="model.takeover" class="sf-last">{{ model.takeover }}</span>
        <span v-for="alarm in model.alarms" :key="alarm" class="sf-warn">{{ alarm }}</span>
        <span class="sf-grow"></span>
        <button type="button" class="sf-button" @click="begin('switchover')">Switch over…</button>
        <button type="button" class="sf-button" @click="begin(model.paused ? 'resume' : 'pause')">{{ model.paused ? 'Resume…' : 'Pause…' }}</button>
      </template>
      <dialog ref="dialog" class="sf-dialog" @close="what = ''">
        <form @submit.prevent="confirm">
          <h3>{{ titles[what] }}</h3>
          <p>{{ texts[what] }}</p>
          <label>Token <input ref="token" type="password" autocomplete="off" v-model="token" aria-label="Token" placeholder="steadflow token"></label>
          <p v-if="said" :class="{ 'sf-wrong': failed }" role="status">{{ said }}</p>
          <div class="sf-row"><button type="button" class="sf-button" @click="$refs.dialog.close()">{{ done ? 'Close' : 'Cancel' }}</button>
            <button v-if="!done" type="submit" class="sf-button sf-strong" :disabled="busy">{{ busy ? 'Working…' : titles[what] }}</button></div>
        </form>
      </dialog>
    </section>`,
  props: { model: Object },
  data: () => ({
    gone: false, going: "", what: "", token: "", said: "", failed: false, busy: false, done: false,
    titles: { switchover: "Switch over", pause: "Pause failover", resume: "Resume failover" },
    texts: {
      switchover: "The other central becomes primary within half a second. Counting goes on everywhere.",
      pause: "While paused nobody takes over by itself, also when the primary dies.",
      resume: "A primary that dies is replaced by itself again.",
    },
  }),
  mounted() {
    this.timer = setInterval(() => this.look(), 500);
  },
  beforeUnmount() {
    clearInterval(this.timer);
  },
  methods: {
    there(url) {
      return url + location.pathname + location.search;
    },
    // The connection of the page tells whether its central lives.
    look() {
      if (!window.socket || window.socket.connected) {
        this.lost = 0;
        this.gone = false;
        return;
      }
      this.lost = this.lost || Date.now();
      if (Date.now() - this.lost < GONE_MS || this.asking) return;
      this.gone = true;
      this.goOn();
    },
    async goOn() {
      this.asking = true;
      for (const other of this.model.others || []) {
        try {
          const answer = await fetch(other.url + "/health/ready", { mode: "cors", signal: AbortSignal.timeout(ASK_MS) });
          if (!answer.ok) continue;
          this.going = other.name;
          location.href = this.there(other.url);
          return;
        } catch {
          // That one is gone too.
        }
      }
      this.asking = false;
    },
    begin(what) {
      Object.assign(this, { what, said: "", failed: false, done: false, token: "" });
      this.$refs.dialog.showModal();
      this.$refs.token.focus();
    },
    async confirm() {
      this.busy = true;
      try {
        const answer = await fetch("/api/v1/cluster/" + this.what, {
          method: "POST",
          headers: { Authorization: "Bearer " + this.token.trim(), "Content-Type": "application/json" },
          body: this.what === "switchover" ? '{"to": ""}' : "{}",
        });
        const told = await answer.json().catch(() => ({}));
        this.failed = !answer.ok;
        this.done = answer.ok;
        this.said = answer.ok ? sentence(this.what, told) : told.detail || "It was refused.";
      } catch {
        this.failed = true;
        this.said = "No answer.";
      }
      this.busy = false;
      this.token = "";
    },
  },
};

function sentence(what, told) {
  if (what === "switchover") return `${told.to} is primary, after ${Number(told.seconds).toFixed(2)} s.`;
  return what === "pause" ? "Paused." : "Resumed.";
}
