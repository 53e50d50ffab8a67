// The Failover page. What changes anything is asked of the strip, in its dialog.
const LOOPBACK = /^(localhost|127\..*|\[?::1\]?)$/;

export default {
  template: `
    <div class="sf-failover">
      <section class="sf-panel sf-now" aria-label="Failover now">
        <div class="sf-now-head">
          <h1>Failover Settings</h1>
          <span class="sf-grow"></span>
          <button type="button" class="sf-button" @click="ask('switchover')">Switch over…</button>
          <button type="button" class="sf-button" @click="ask(model.paused ? 'resume' : 'pause')">{{ model.paused ? 'Resume…' : 'Pause…' }}</button>
          <button type="button" class="sf-button sf-strong" :disabled="!model.can_drill" @click="ask('drill')">{{ model.can_drill ? 'Run a drill…' : 'A drill runs' }}</button>
        </div>
        <p v-if="model.state === 'none'" class="sf-note-line">No registry has decided anything yet: this central counts, and nobody is primary.</p>
        <dl v-else class="sf-now-facts">
          <div><dt>Primary</dt><dd :class="{ 'sf-bad': !model.primary }">{{ model.primary || 'Nobody' }}</dd><small>{{ model.primary ? '' : model.standing }}</small></div>
          <div v-if="model.primary"><dt>Since</dt><dd>{{ time(model.since) }}</dd><small>for {{ model.held }}</small></div>
          <div><dt>Epoch</dt><dd>{{ model.epoch }}</dd><small>grows with each takeover</small></div>
          <div><dt>Last tick</dt><dd :class="model.tick.level && 'sf-' + model.tick.level">{{ model.tick.text }}</dd><small>the cluster’s clock</small></div>
          <div><dt>Failover</dt><dd :class="model.paused ? 'sf-warn' : 'sf-good'">{{ model.paused ? 'Paused' : 'Automatic' }}</dd><small>{{ model.paused ? 'nobody takes over by itself' : 'a dead primary is replaced' }}</small></div>
        </dl>
        <ul v-if="model.survives.length" class="sf-survives" aria-label="What this survives"><li v-for="line in model.survives" :key="line"><template v-for="(part, at) in parts(line)" :key="at"><code v-if="at % 2">{{ part }}</code><template v-else>{{ part }}</template></template></li></ul>
        <ul v-if="model.alarms.length" class="sf-alarms" aria-label="Alarms"><li v-for="alarm in model.alarms" :key="alarm">{{ alarm }}</li></ul>
        <p v-else-if="model.state !== 'none'" class="sf-note-line"><i class="sf-good" aria-hidden="true"></i>No alarm</p>
      </section>

      <section class="sf-panel" aria-label="Nodes">
        <header class="sf-panel-head"><h2>Nodes</h2></header>
        <div class="sf-plain-box"><table class="sf-plain" aria-label="Nodes">
          <thead><tr><th scope="col">Node</th><th scope="col">Role</th><th scope="col">Health</th><th scope="col" class="number" title="How far behind the end of the log">Lag</th><th scope="col" class="number" title="Messages of the log that it has not applied">Records</th><th scope="col" class="number" title="The lowest is chosen first">Priority</th><th scope="col" title="Every closed minute until then is proven to hold the same on both">Proven equal until</th><th scope="col">Address</th></tr></thead>
          <tbody><tr v-for="node in model.nodes" :key="node.name">
            <td><b>{{ node.name }}</b> <small v-if="node.here">this one</small></td>
            <td data-label="Role">{{ node.role }}</td>
            <td data-label="Health" :title="node.problem"><span class="sf-mark"><i :class="'sf-' + node.level" aria-hidden="true"></i>{{ node.word }}</span></td>
            <td data-label="Lag" class="number">{{ node.lag }}</td><td data-label="Records" class="number">{{ node.records }}</td><td data-label="Priority" class="number">{{ node.priority }}</td>
            <td data-label="Proven equal until"><span :class="node.proof.level === 'bad' ? 'sf-bad' : node.proof.level === 'calm' ? 'sf-quiet' : ''">{{ node.proof.at ? minute(node.proof.at) : node.proof.text }}</span></td>
            <td data-label="Address"><a v-if="node.url && !node.here" :href="node.url + '/failover'">{{ node.url }}</a><span v-else>{{ node.url }}</span></td>
          </tr></tbody>
        </table></div>
        <p v-if="!model.nodes.length" class="sf-empty">No node is heard</p>
      </section>

      <slot></slot>

      <section class="sf-panel" aria-label="Other machines">
        <header class="sf-panel-head"><h2>Add another machine</h2><span class="sf-grow"></span>
          <template v-if="!model.enable">
            <button type="button" class="sf-button" @click="ask('invites')">{{ invites ? 'Show again…' : 'Show invites…' }}</button>
            <button type="button" class="sf-button" @click="ask('invite_collector')">Add collector…</button>
            <button v-if="model.survives.length" type="button" class="sf-button" @click="ask('invite_witness')">Add witness…</button>
            <button type="button" class="sf-button sf-strong" @click="ask('invite')">Add hot standby…</button></template>
        </header>
        <div class="sf-text">
          <template v-if="model.enable">
            <p>Others cannot reach this machine yet. <b>Enable</b> opens its Kafka and HTTPS to them, by TLS. Kafka is restarted once, some 8 s in which collectors spool; exporters, collectors and centrals go on.</p>
            <p v-if="model.enable.is_under_way" class="sf-opening" role="status"><progress aria-label="Opening"></progress> Opening this machine to others…</p>
            <form v-else-if="model.enable.by_page" class="sf-enable" @submit.prevent="enable">
              <label>Name or address by which others reach this machine <input v-model.trim="host" required maxlength="253" pattern="[A-Za-z0-9.:_\\-]+" placeholder="flows.example.com" autocomplete="off" spellcheck="false"></label>
              <button type="submit" class="sf-button sf-strong">Enable…</button>
              <details><summary>Ports and address</summary>
                <label>HTTPS port, and the one above <input v-model="https_port" inputmode="numeric" pattern="[0-9]*" placeholder="443, else 8443"></label>
                <label>Kafka port, and the one above <input v-model="kafka_port" inputmode="numeric" pattern="[0-9]+" required></label>
                <label>Listen on <input v-model.trim="bind" required pattern="[A-Za-z0-9.:_\\-]+"></label>
              </details>
            </form>
            <template v-else><p>Run this on the machine that was started by <code>steadflow up</code>:</p>
              <div class="sf-line"><code>{{ model.enable.command }}</code><button type="button" class="sf-button" @click="copy(model.enable.command)">{{ copied === model.enable.command ? 'Copied' : 'Copy' }}</button></div></template>
            <p v-if="model.enable.problem" class="sf-wrong" role="alert">{{ model.enable.problem }}</p>
            <p class="sf-quiet">Then <b>Add hot standby</b> and <b>Add collector</b> appear here: each is one line for the other machine, and needs this.</p>
          </template>
          <template v-else-if="made">
            <p>The machine that becomes a {{ made.role }} needs the same release, <b>{{ model.release }}</b>: a clone and <code>make setup</code>{{ made.install ? ', or these lines. They take it from here and name its hash; packages of others come from that machine’s own mirror:' : '.' }}</p>
            <div v-if="made.install" class="sf-line"><code>{{ made.install }}</code><button type="button" class="sf-button" @click="copy(made.install)">{{ copied === made.install ? 'Copied' : 'Copy' }}</button></div>
            <p>Then run this one line there. It works once, until {{ time(made.until) }}, and is shown only now:</p>
            <div class="sf-line"><code>{{ made.line }}</code><button type="button" class="sf-button" @click="copy(made.line)">{{ copied === made.line ? 'Copied' : 'Copy' }}</button></div>
          </template>
          <p v-else>Others reach this machine at <code>{{ model.joining_url }}</code>. A <b>hot standby</b> counts as this one does and takes over when it dies; a <b>collector</b> receives flows near their exporters and spools them while it reaches nobody<template v-if="model.survives.length">; a <b>witness</b> keeps a copy of the log and votes, so that any one of three machines may die</template>. Each is one line to run on the other machine; it works once, for an hour.</p>
          <p v-if="trouble" class="sf-wrong" role="alert">{{ trouble }}</p>
        </div>
        <div v-if="invites" class="sf-plain-box"><table class="sf-plain" aria-label="Invites">
          <thead><tr><th scope="col">Invite</th><th scope="col">For</th><th scope="col">Standing</th><th scope="col">Until</th><th scope="col">Made by</th><th scope="col"></th></tr></thead>
          <tbody><tr v-for="row in invites" :key="row.invite">
            <td><code>{{ row.invite }}</code></td><td data-label="For">{{ row.joins_as }}</td>
            <td data-label="Standing" :class="{ 'sf-good': row.standing === 'open' }">{{ row.used_by ? 'used by ' + row.used_by : row.standing }}</td>
            <td data-label="Until">{{ time(Date.parse(row.expires_at)) }}</td><td data-label="Made by">{{ row.made_by }}</td>
            <td class="number"><button v-if="row.standing === 'open'" type="button" class="sf-button" @click="ask('take_back', row.invite)">Take back…</button></td>
          </tr></tbody></table>
          <p v-if="!invites.length" class="sf-empty">No invite was made yet</p>
        </div>
      </section>

      <section class="sf-panel" aria-label="Drills">
        <header class="sf-panel-head"><h2>Drills</h2><span class="sf-grow"></span><span class="sf-note">A drill is a real takeover on purpose, checked with live counts. By a crash: <code>steadflow drill --kill</code></span></header>
        <div v-if="model.drills.length" class="sf-plain-box"><table class="sf-plain" aria-label="Drills">
          <thead><tr><th scope="col">Time</th><th scope="col">Result</th><th scope="col">How</th><th scope="col">Primary</th><th scope="col" class="number" title="RTO">Nobody acted for</th><th scope="col" class="number" title="RPO">Records lost</th><th scope="col">Report</th></tr></thead>
          <tbody><tr v-for="drill in model.drills" :key="drill.id">
            <td>{{ time(drill.at) }}</td>
            <td data-label="Result" :title="drill.error"><b :class="'sf-' + drill.level">{{ drill.verdict }}</b></td>
            <td data-label="How">{{ drill.kind }}</td><td data-label="Primary">{{ drill.who }}</td>
            <td data-label="Nobody acted for" class="number" :class="{ 'sf-warn': drill.slow }" :title="drill.slow ? 'Longer than promised for 99 of 100 takeovers' : ''">{{ drill.rto }}</td><td data-label="Records lost" class="number">{{ drill.lost }}</td>
            <td data-label="Report"><span class="sf-links"><a :href="'/failover/drills/' + drill.id">Report</a><a :href="'/api/v1/drills/' + drill.id">JSON</a></span></td>
          </tr></tbody>
        </table></div>
        <p v-else class="sf-empty">No drill was run yet</p>
      </section>

      <section class="sf-panel" aria-label="History">
        <header class="sf-panel-head"><h2>History</h2><span class="sf-grow"></span>
          <label class="sf-note sf-check"><input type="checkbox" v-model="all"> every decision</label></header>
        <div class="sf-plain-box"><table class="sf-plain sf-history" aria-label="History">
          <thead><tr><th scope="col">Time</th><th scope="col">What happened</th><th scope="col">Why</th><th scope="col" class="number" title="RTO">Nobody acted for</th><th scope="col" class="number" title="RPO">Records lost</th></tr></thead>
          <tbody><tr v-for="row in shown" :key="row.id" :class="{ 'sf-takeover': row.is_takeover }">
            <td>{{ time(row.at) }}</td><td>{{ row.what }}</td><td>{{ row.why }}</td>
            <td data-label="Nobody acted for" class="number">{{ row.took }}</td><td data-label="Records lost" class="number" :class="row.lost_level && 'sf-' + row.lost_level" :title="row.lost_title">{{ row.lost }}</td>
          </tr></tbody>
        </table>
        <button v-if="rows.length > first" type="button" class="sf-more" :aria-expanded="more ? 'true' : 'false'" @click="more = !more">{{ more ? 'Fewer' : (rows.length - first) + ' more' }}</button>
        <p v-if="!rows.length" class="sf-empty">Nothing was decided yet</p></div>
      </section>
    </div>`,
  props: { model: Object },
  data: () => ({
    host: LOOPBACK.test(location.hostname) ? "" : location.hostname, https_port: "", kafka_port: "19094", bind: "0.0.0.0",
    made: null, invites: null, trouble: "", copied: "", all: false, more: false, first: 12, ticks: 0,
  }),
  computed: {
    rows() {
      return this.model.history.filter((row) => this.all || row.is_takeover || row.stands_alone);
    },
    shown() {
      return this.more ? this.rows : this.rows.slice(0, this.first);
    },
  },
  mounted() {
    this.told = (event) => this.hear(event.detail);
    addEventListener("steadflow_told", this.told);
    this.zones = new MutationObserver(() => (this.ticks += 1));
    this.zones.observe(document.documentElement, { attributeFilter: ["data-zone"] });
  },
  beforeUnmount() {
    removeEventListener("steadflow_told", this.told);
    this.zones.disconnect();
  },
  methods: {
    time(ms) {
      void this.ticks;
      return ms ? steadflow.timeText(ms, { second: "2-digit" }) : "";
    },
    // What stands between backticks is code.
    parts(line) {
      return line.split("\u0060");
    },
    minute(ms) {
      void this.ticks;
      return steadflow.timeText(ms);
    },
    ask(what, about = "", body = undefined) {
      dispatchEvent(new CustomEvent("steadflow_ask", { detail: { what, about, body } }));
    },
    enable() {
      const { host, bind } = this;
      this.ask("enable", "", { host, bind, kafka_port: Number(this.kafka_port), https_port: this.https_port ? Number(this.https_port) : null });
    },
    async copy(text) {
      await navigator.clipboard.writeText(text);
      this.copied = text;
    },
    // What a change was answered; the list of invites follows it.
    async hear({ what, told }) {
      const is_new = ["invite", "invite_collector", "invite_witness"].includes(what);
      if (!is_new && !["invites", "take_back"].includes(what)) return;
      this.trouble = "";
      if (is_new) {
        const role = told.joins_as === "standby" ? "hot standby" : told.joins_as;
        this.made = { role, line: told.line, install: (told.install || []).join("\n"), until: Date.parse(told.expires_at) };
      }
      if (what === "invites") {
        this.invites = told.rows;
        return;
      }
      try {
        const listed = await steadflow.ask("/api/v1/invites");
        // The primary answered; this central may not have read of it yet.
        const rows = listed.rows.filter((row) => row.invite !== told.invite);
        const { line, install, token: secret, ...made } = told;
        this.invites = is_new ? [made, ...rows] : rows;
      } catch {
        this.trouble = "The list of invites could not be read.";
      }
    },
  },
};
