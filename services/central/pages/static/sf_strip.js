// The failover strip: who is primary, both nodes, the last takeover; and the way to the other
// central when this one is gone. A change needs a login.
const GONE_MS = 1500;
const ASK_MS = 1500;

// What a person may ask for; an empty answer closes the dialog, the page shows what came.
const ACTIONS = {
  switchover: {
    title: "Switch over", path: "/api/v1/cluster/switchover",
    text: "Another central becomes primary within half a second. Counting goes on everywhere.",
    said: (told) => `${told.to} is primary, after ${Number(told.seconds).toFixed(2)} s.`,
  },
  pause: {
    title: "Pause failover", path: "/api/v1/cluster/pause", body: {}, said: () => "Paused.",
    text: "While paused nobody takes over by itself, also when the primary dies.",
  },
  resume: {
    title: "Resume failover", path: "/api/v1/cluster/resume", body: {}, said: () => "Resumed.",
    text: "A primary that dies is replaced by itself again.",
  },
  drill: {
    title: "Run a drill", path: "/api/v1/drills", said: () => "The drill runs. Its report is listed on this page.",
    text: "This switches over for real: another central becomes primary. Then all are compared until everything is settled, which takes up to two minutes. Counting goes on everywhere.",
  },
  enable: {
    title: "Enable", path: "/api/v1/network", said: () => "",
    text: "Other machines can then reach Kafka and the pages here, with TLS. Kafka is restarted once; takeovers are paused until it is back.",
  },
  invite: {
    title: "Invite a standby", path: "/api/v1/invites", body: { joins_as: "standby", valid_s: 3600 }, said: () => "",
    text: "Makes one line that lets one machine join, once, within an hour. Whoever has it becomes part of this cluster.",
  },
  invite_collector: {
    title: "Add a collector", path: "/api/v1/invites", body: { joins_as: "collector", valid_s: 3600 }, said: () => "",
    text: "Makes one line that lets one machine join as a collector, once, within an hour. Whoever has it can send flows into this cluster.",
  },
  invite_witness: {
    title: "Add a witness", path: "/api/v1/invites", body: { joins_as: "witness", valid_s: 3600 }, said: () => "",
    text: "Makes one line that lets one machine join as the witness, once, within an hour. It keeps a copy of the log and votes; it counts nothing.",
  },
  invites: { title: "Show invites", path: "/api/v1/invites", method: "GET", said: () => "", text: "Who was invited, and who came." },
  take_back: { title: "Take back", path: "/api/v1/invites/", method: "DELETE", said: () => "", text: "The line of this invite lets nobody join any more." },
};

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
        <template v-if="!settings">
          <a class="sf-button" :href="'/failover' + query()">Settings</a>
          <button type="button" class="sf-button" @click="begin('switchover')">Switch over…</button>
          <button type="button" class="sf-button" @click="begin(model.paused ? 'resume' : 'pause')">{{ model.paused ? 'Resume…' : 'Pause…' }}</button>
        </template>
      </template>
      <dialog ref="dialog" class="sf-dialog" @close="what = ''">
        <form @submit.prevent="confirm">
          <h3>{{ action.title }}</h3>
          <p>{{ action.text }}</p>
          <label v-if="what === 'switchover' && others.length > 1 && !done" class="sf-choice">To <select v-model="to">
            <option value="">whoever is best</option><option v-for="name in others" :key="name">{{ name }}</option></select></label>
          <p v-if="!model.account">Only who is logged in may do this.</p>
          <p v-if="said" :class="{ 'sf-wrong': failed }" role="status">{{ said }}</p>
          <div class="sf-row"><button type="button" class="sf-button" @click="$refs.dialog.close()">{{ done ? 'Close' : 'Cancel' }}</button>
            <button v-if="!model.account" ref="confirm" type="button" class="sf-button sf-strong" @click="logIn">Log in</button>
            <button v-else-if="!done" ref="confirm" type="submit" class="sf-button sf-strong" :disabled="busy">{{ busy ? 'Working…' : action.title }}</button></div>
        </form>
      </dialog>
    </section>`,
  props: { model: Object },
  data: () => ({
    gone: false, going: "", what: "", about: "", body: undefined, to: "", said: "", failed: false, busy: false, done: false,
    settings: location.pathname === "/failover",
  }),
  computed: {
    action() {
      return ACTIONS[this.what] || { title: "", text: "" };
    },
    // Who may get the role.
    others() {
      return (this.model.nodes || []).map((node) => node.name).filter((name) => name !== this.model.primary);
    },
  },
  mounted() {
    this.asked = (event) => this.begin(event.detail.what, event.detail.about, event.detail.body);
    addEventListener("steadflow_ask", this.asked);
    this.timer = setInterval(() => this.look(), 500);
  },
  beforeUnmount() {
    clearInterval(this.timer);
    removeEventListener("steadflow_ask", this.asked);
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
    query() {
      return location.search;
    },
    begin(what, about = "", body = undefined) {
      Object.assign(this, { what, about, body, to: "", said: "", failed: false, done: false });
      this.$refs.dialog.showModal();
      this.$refs.confirm?.focus();
    },
    logIn() {
      location.href = steadflow.loginAddress();
    },
    async confirm() {
      if (!this.model.account) return;
      this.busy = true;
      try {
        const { path, method = "POST", said } = this.action;
        const body = this.what === "switchover" ? { to: this.to } : this.body || this.action.body;
        const told = await steadflow.ask(path + this.about, method, body);
        Object.assign(this, { failed: false, done: true, said: said(told) });
        dispatchEvent(new CustomEvent("steadflow_told", { detail: { what: this.what, told } }));
        if (!this.said) this.$refs.dialog.close();
      } catch (error) {
        Object.assign(this, { failed: true, done: false, said: error.message });
      }
      this.busy = false;
    },
  },
};
