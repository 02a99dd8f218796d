// The audit of GraphQL over HTTP, as its authors publish it. What it recommends must pass as well
// as what it demands.
import { serverAudits } from 'graphql-http';

const url = `${process.env.HAKKEN_URL}/graphql`;
const audits = serverAudits({ url, fetchFn: fetch });
let failed = 0;
for (const audit of audits) {
  const { id, name, status, reason } = await audit.fn();
  if (status !== 'ok') {
    failed += 1;
    console.error(`${id} ${name}: ${status}: ${reason}`);
  }
}
console.log(`${audits.length - failed} of ${audits.length} audits passed`);
if (failed > 0 || audits.length < 61) {
  process.exit(1);
}
