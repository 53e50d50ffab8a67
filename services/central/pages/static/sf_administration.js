// The Administration page: settings, password, API tokens, the record of changes. All of it is asked
// of the API as the session that is logged in.
const AGAIN_MS = 3000;

export default {
  template: `
    <div class="sf-failover">
      <section v-if="!model.account" class="sf-panel sf-text" aria-label="Administration">
        <h1>Administration</h1>
        <p>Settings, API tokens and the record of changes are for who is logged in.</p>
        <p><a class="sf-button sf-strong" href="/login" @click.prevent="logIn">Log in</a></p>
      </section>
      <template v-else>
        <section class="sf-panel" aria-label="Retention">
          <header class="sf-panel-head"><h2>How long flows are kept</h2></header>
          <form class="sf-fields" @submit.prevent="saveRetention">
            <label v-for="field in levels" :key="field.name">{{ field.label }}<input type="number" :min="4" required v-model.number="retention[field.name]"></label>
            <button type="submit" class="sf-button sf-strong" :disabled="busy">Save</button>
            <span v-if="said.retention" class="sf-said" :class="{ 'sf-wrong': said.retention.failed }" role="status">{{ said.retention.text }}</span>
          </form>
        </section>

        <section class="sf-panel" aria-label="API tokens">
          <header class="sf-panel-head"><h2>API tokens</h2><span class="sf-grow"></span><span class="sf-note">For programs: <code>Authorization: Bearer TOKEN</code></span></header>
          <form class="sf-fields" @submit.prevent="addToken">
            <label>What it is for<input required maxlength="100" v-model="token.name" placeholder="prometheus"></label>
            <label>May<select v-model="token.scope"><option value="read">read</option><option value="change">read and change</option></select></label>
            <button type="submit" class="sf-button sf-strong" :disabled="busy">Make a token</button>
            <span v-if="said.token" class="sf-said" :class="{ 'sf-wrong': said.token.failed }" role="status">{{ said.token.text }}</span>
          </form>
          <div v-if="made" class="sf-text"><p>Copy it now, it is shown only once:</p>
            <div class="sf-line"><code>{{ made }}</code><button type="button" class="sf-button" @click="copy">{{ copied ? 'Copied' : 'Copy' }}</button></div></div>
          <div v-if="tokens.length" class="sf-plain-box"><table class="sf-plain" aria-label="API tokens">
            <thead><tr><th scope="col">For</th><th scope="col">May</th><th scope="col">Made</th><th scope="col">By</th><th scope="col"></th></tr></thead>
            <tbody><tr v-for="row in tokens" :key="row.token">
              <td>{{ row.name }}</td><td data-label="May">{{ row.scope }}</td><td data-label="Made">{{ time(row.made_at) }}</td><td data-label="By">{{ row.made_by }}</td>
              <td class="number"><button type="button" class="sf-button" :disabled="busy" @click="revoke(row.token)">Revoke</button></td>
            </tr></tbody></table></div>
        </section>

        <section class="sf-panel" aria-label="Password">
          <header class="sf-panel-head"><h2>Password of {{ model.account }}</h2></header>
          <form class="sf-fields" @submit.prevent="setPassword">
            <input type="text" autocomplete="username" :value="model.account" hidden>
            <label>Now<input type="password" autocomplete="current-password" required v-model="password.current"></label>
            <label>New, 12 characters or more<input type="password" autocomplete="new-password" minlength="12" required v-model="password.next"></label>
            <button type="submit" class="sf-button sf-strong" :disabled="busy">Change it</button>
            <span v-if="said.password" class="sf-said" :class="{ 'sf-wrong': said.password.failed }" role="status">{{ said.password.text }}</span>
          </form>
        </section>

        <section class="sf-panel" aria-label="Changes">
          <header class="sf-panel-head"><h2>Who changed what</h2></header>
          <div class="sf-plain-box"><table class="sf-plain" aria-label="Changes">
            <thead><tr><th scope="col">Time</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Request</th><th scope="col">From</th><th scope="col">Result</th><th scope="col">Answered by</th></tr></thead>
            <tbody><tr v-for="(row, index) in changes" :key="index">
              <td>{{ time(row.at) }}</td><td data-label="Who">{{ row.by }}</td>
              <td data-label="What">{{ row.what }}<small v-if="row.count > 1"> {{ row.count }} times</small></td>
              <td data-label="Request"><small>{{ row.request }} {{ row.facts }}</small></td>
              <td data-label="From">{{ row.address }}</td>
              <td data-label="Result" :class="{ 'sf-bad': row.status >= 400 }">{{ row.status < 400 ? 'done' : row.status }}</td>
              <td data-label="Answered by">{{ row.answered_by }}</td>
            </tr></tbody></table>
            <p v-if="!changes.length" class="sf-empty">Nothing was changed yet</p></div>
        </section>
      </template>
    </div>`,
  props: { model: Object },
  data: () => ({
    busy: false, said: {}, retention: {}, tokens: [], changes: [], made: "", copied: false, ticks: 0,
    token: { name: "", scope: "read" }, password: { current: "", next: "" },
    levels: [
      { name: "raw_days", label: "Raw flows, days" },
      { name: "minute_days", label: "Sums per minute, days" },
      { name: "hour_days", label: "Sums per hour, days" },
    ],
  }),
  mounted() {
    if (this.model.account) this.begin();
    this.zones = new MutationObserver(() => (this.ticks += 1));
    this.zones.observe(document.documentElement, { attributeFilter: ["data-zone"] });
  },
  beforeUnmount() {
    clearInterval(this.timer);
    this.zones.disconnect();
  },
  methods: {
    time(text) {
      void this.ticks;
      return steadflow.timeText(Date.parse(text), { second: "2-digit" });
    },
    logIn() {
      location.href = steadflow.loginAddress();
    },
    async begin() {
      try {
        this.retention = await steadflow.ask("/api/v1/settings/retention");
      } catch (error) {
        this.said = { retention: { text: error.message, failed: true } };
      }
      await this.load();
      // What another central wrote is known here a moment later.
      this.timer = setInterval(() => document.hidden || this.load(), AGAIN_MS);
    },
    async load() {
      try {
        const asked = ["/api/v1/tokens", "/api/v1/audit?limit=100"];
        const [tokens, changes] = await Promise.all(asked.map((path) => steadflow.ask(path)));
        Object.assign(this, { tokens: tokens.rows, changes: changes.rows });
      } catch (error) {
        clearInterval(this.timer);
        this.said = { token: { text: error.message, failed: true } };
      }
    },
    async change(about, text, make) {
      this.busy = true;
      try {
        await make();
        this.said = { [about]: { text, failed: false } };
        await this.load();
      } catch (error) {
        this.said = { [about]: { text: error.message, failed: true } };
      }
      this.busy = false;
    },
    saveRetention() {
      const days = Object.fromEntries(this.levels.map(({ name }) => [name, this.retention[name]]));
      return this.change("retention", "Saved.", () => steadflow.ask("/api/v1/settings/retention", "PUT", days));
    },
    addToken() {
      return this.change("token", "", async () => {
        const made = await steadflow.ask("/api/v1/tokens", "POST", this.token);
        Object.assign(this, { made: made.value, copied: false, token: { name: "", scope: "read" } });
      });
    },
    revoke(token) {
      return this.change("token", "Revoked.", () => steadflow.ask("/api/v1/tokens/" + token, "DELETE"));
    },
    async setPassword() {
      const { current, next } = this.password;
      this.busy = true;
      try {
        await steadflow.ask("/api/v1/accounts/" + this.model.account, "PUT", { password: next, current });
        // The session went with the password that it was made by.
        this.logIn();
      } catch (error) {
        this.said = { password: { text: error.message, failed: true } };
      }
      this.busy = false;
    },
    async copy() {
      await navigator.clipboard.writeText(this.made);
      this.copied = true;
    },
  },
};
