// A panel with one table: sorts in the browser, keeps its rows by their keys when numbers change.
export default {
  template: `
    <section class="sf-panel" :aria-busy="model.busy ? 'true' : 'false'" :class="model.kind">
      <header class="sf-panel-head">
        <h2>{{ model.title }}</h2>
        <span class="sf-grow"></span>
        <span v-if="model.note" class="sf-note" :title="model.note_title">{{ model.note }}</span>
      </header>
      <p v-if="model.trouble" class="sf-trouble" role="alert">{{ model.trouble }}</p>
      <div class="sf-table-box" v-else>
        <table class="sf-table" :aria-label="model.title">
          <thead><tr>
            <th v-for="(column, at) in model.columns" scope="col" :class="column.kind" :aria-sort="order(at)">
              <button type="button" @click="sortBy(at)" :title="column.title || ('Sort by ' + column.label)">{{ column.label }}<i aria-hidden="true"></i></button>
            </th>
          </tr></thead>
          <tbody>
            <tr v-for="row in shown" :key="row.id" :style="{ '--share': (row.share || 0) + '%' }">
              <td v-for="(cell, at) in row.cells" :class="model.columns[at].kind" :title="cell.title">
                <div class="sf-cell">
                  <i v-if="cell.colour" class="sf-swatch" :style="{ background: cell.colour }" aria-hidden="true"></i>
                  <template v-for="(part, number) in cell.parts || [cell]">
                    <span v-if="number" class="sf-arrow" aria-label="to">{{ cell.between || '→' }}</span>
                    <a v-if="part.href" :href="part.href" :title="part.title">{{ part.text }}</a>
                    <span v-else>{{ part.text }}</span>
                  </template>
                  <small v-if="cell.detail">{{ cell.detail }}</small>
                  <a v-if="cell.open" class="sf-open" :href="cell.open" :aria-label="cell.open_label" :title="cell.open_label"></a>
                </div>
              </td>
            </tr>
            <tr v-for="number in placeholders" class="sf-ghost" aria-hidden="true" :key="'ghost' + number"><td :colspan="model.columns.length"><div class="sf-cell"><span>&nbsp;</span></div></td></tr>
          </tbody>
        </table>
        <button v-if="first && model.rows.length > first" type="button" class="sf-more" :aria-expanded="all ? 'true' : 'false'" @click="all = !all">{{ all ? 'Fewer' : (model.rows.length - first) + ' more' }}</button>
        <p v-if="model.empty && !model.rows.length" class="sf-empty">{{ model.empty }}</p>
      </div>
    </section>`,
  props: { model: Object },
  data: () => ({ column: null, ascending: false, all: false }),
  computed: {
    sorted() {
      if (this.column === null) return this.model.rows;
      const key = (row) => row.cells[this.column].sort ?? row.cells[this.column].text ?? "";
      const compare = (a, b) =>
        typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
      const sign = this.ascending ? 1 : -1;
      return [...this.model.rows].sort((a, b) => sign * compare(key(a), key(b)));
    },
    first() {
      return this.model.first || 0;
    },
    shown() {
      return this.first && !this.all ? this.sorted.slice(0, this.first) : this.sorted;
    },
    placeholders() {
      // Panels keep their height while rows come and go.
      return this.model.rows.length || this.model.empty ? 0 : this.model.ghosts || 0;
    },
  },
  methods: {
    order(at) {
      if (this.column !== at) return null;
      return this.ascending ? "ascending" : "descending";
    },
    sortBy(at) {
      if (this.column === at && this.ascending !== (this.model.columns[at].kind.startsWith("text"))) this.column = null;
      else if (this.column === at) this.ascending = !this.ascending;
      else {
        this.column = at;
        this.ascending = this.model.columns[at].kind.startsWith("text");
      }
    },
  },
};
