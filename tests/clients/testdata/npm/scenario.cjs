// What tests/clients has MQTT.js do: node scenario.cjs URL VERSION, with the CA
// in NODE_EXTRA_CA_CERTS. It prints "ok" and exits with 0, or says what failed.
'use strict';
const assert = require('node:assert/strict');
const { connect } = require('mqtt');

const [url, version] = process.argv.slice(2);
const protocolVersion = Number(version);
const v5 = protocolVersion === 5;
const run = `${protocolVersion}-${process.pid}`;

// dial connects a client. Its messages wait in an inbox from the beginning, since
// those of a resumed session come right behind CONNACK.
function dial(id, options = {}) {
  const client = connect(url, {
    clientId: `${id}-${run}`,
    protocolVersion,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: 30000,
    ...options,
  });
  const got = [], waiting = [];
  client.on('message', (topic, payload, packet) => {
    const m = { topic, payload: payload.toString(), packet };
    const next = waiting.shift();
    next ? next(m) : got.push(m);
  });
  client.take = () => (got.length ? Promise.resolve(got.shift()) : new Promise((r) => waiting.push(r)));
  return new Promise((resolve, reject) => {
    client.once('connect', () => resolve(client));
    client.once('error', reject);
    client.once('close', () => reject(new Error(`${id}: closed before it was connected`)));
  });
}

async function everyQoS() {
  const sub = await dial('sub'), pub = await dial('pub');
  const topic = `js/${run}/qos`;
  await sub.subscribeAsync(topic, { qos: 2 });
  const n = 60;
  await Promise.all(Array.from({ length: n }, (_, i) => pub.publishAsync(topic, `${i}`, { qos: i % 3 })));
  const next = [0, 1, 2];
  for (let i = 0; i < n; i++) {
    const { payload, packet } = await sub.take();
    assert.equal(payload, `${next[packet.qos]}`, 'in order at each QoS');
    next[packet.qos] += 3;
  }
  await pub.endAsync();
  await sub.endAsync();
}

async function resumed() {
  const options = { clean: false, properties: v5 ? { sessionExpiryInterval: 3600 } : undefined };
  const topic = `js/${run}/resumed`;
  let sub = await dial('keeps', options);
  await sub.subscribeAsync(topic, { qos: 2 });
  await sub.endAsync();
  const pub = await dial('pub2');
  for (let i = 0; i < 20; i++) await pub.publishAsync(topic, `${i}`, { qos: 1 + (i % 2) });
  sub = await dial('keeps', options);
  const next = [undefined, 0, 1];
  for (let i = 0; i < 20; i++) {
    const { payload, packet } = await sub.take();
    assert.equal(payload, `${next[packet.qos]}`);
    next[packet.qos] += 2;
  }
  await pub.endAsync();
  await sub.endAsync();
}

async function retained() {
  const topic = `js/${run}/retained`;
  const pub = await dial('pub3');
  await pub.publishAsync(topic, 'kept', { qos: 1, retain: true });
  const sub = await dial('late');
  await sub.subscribeAsync(`js/${run}/+`, { qos: 1 });
  const m = await sub.take();
  assert.equal(m.payload, 'kept');
  assert.equal(m.packet.retain, true);
  await pub.endAsync();
  await sub.endAsync();
}

async function will() {
  const topic = `js/${run}/will`;
  const watch = await dial('watch');
  await watch.subscribeAsync(topic, { qos: 1 });
  const dies = await dial('dies', { will: { topic, payload: Buffer.from('dead'), qos: 1, retain: false } });
  dies.stream.destroy();
  assert.equal((await watch.take()).payload, 'dead');
  dies.end(true);
  await watch.endAsync();
}

async function large() {
  const topic = `js/${run}/large`, payload = 'x'.repeat(700000);
  const c = await dial('large');
  await c.subscribeAsync(topic, { qos: 1 });
  await c.publishAsync(topic, payload, { qos: 1 });
  assert.equal((await c.take()).payload, payload);
  await c.endAsync();
}

async function properties() {
  const topic = `js/${run}/properties`;
  const c = await dial('properties', { properties: { topicAliasMaximum: 10 } });
  await c.subscribeAsync(topic, { qos: 1, rap: true, properties: { subscriptionIdentifier: 7 } });
  const sent = {
    payloadFormatIndicator: true, contentType: 'text', responseTopic: 'answer',
    correlationData: Buffer.from('abc'), userProperties: { k: ['1', '2'], l: '3' },
  };
  for (let i = 0; i < 3; i++) { // from the second on under an alias
    await c.publishAsync(topic, 'x', { qos: 1, properties: sent });
    const { topic: name, packet } = await c.take();
    const got = packet.properties;
    assert.equal(name, topic);
    assert.equal(got.contentType, 'text');
    assert.equal(got.responseTopic, 'answer');
    assert.equal(got.correlationData.toString(), 'abc');
    assert.deepEqual({ ...got.userProperties }, { k: ['1', '2'], l: '3' });
    assert.equal(got.subscriptionIdentifier, 7);
  }
  await c.endAsync();
}

(async () => {
  let current = '';
  const timer = setTimeout(() => { console.error(`${current}: timed out`); process.exit(1); }, 50000);
  for (const step of [everyQoS, resumed, retained, will, large, ...(v5 ? [properties] : [])]) {
    current = step.name;
    try {
      await step();
    } catch (e) {
      console.error(`${step.name}: ${e.stack || e}`);
      process.exit(1);
    }
  }
  clearTimeout(timer);
  console.log('ok');
})();
