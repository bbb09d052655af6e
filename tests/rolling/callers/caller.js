// A Node caller: what it sees of the restarts, a line for each thing.
//
// It configures nothing, neither retry nor health, unless SERVICE_CONFIG names a file: then
// what that says.
//
//     caller.js place TARGET    places orders and reads them back, one call at a time
//     caller.js watch TARGET    watches from the first event on
//
// See process_caller.h for the lines. SIGTERM ends it, after the call that runs.
'use strict';

const {randomUUID} = require('crypto');
const {readFileSync} = require('fs');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const THINK_TIME = Number(process.env.THINK_TIME_MS);
const CALL_LIMIT = 60_000;
const READS_PER_ORDER = 20;

let stopped = false;
let stream = null;
process.on('SIGTERM', () => {
  stopped = true;
  if (stream) stream.cancel();
});

const tell = (...words) => console.log(words.join(' '));
const failed = (what, error) =>
    tell('failed', what, grpc.status[error.code], String(error.details).replaceAll('\n', ' '));
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

function call(stub, method, request) {
  return new Promise((answered, refused) => {
    stub[method](request, {deadline: Date.now() + CALL_LIMIT},
                 (error, answer) => error ? refused(error) : answered(answer));
  });
}

async function place(stub) {
  for (; !stopped; await pause(THINK_TIME)) {
    const requestId = randomUUID();
    let order;
    try {
      ({order} = await call(stub, 'PlaceOrder', {
         request_id: requestId,
         customer: 'node',
         items: [{sku: 'pear', quantity: 1}],
       }));
    } catch (error) {
      failed('PlaceOrder', error);
      continue;
    }
    tell('order', requestId, order.order_id);
    for (let read = 0; read < READS_PER_ORDER && !stopped; ++read) {
      await pause(THINK_TIME);
      try {
        const found = await call(stub, 'GetOrder', {order_id: order.order_id});
        const same = found.order.request_id === requestId;
        same ? tell('answered') : tell('failed', 'GetOrder: another order');
      } catch (error) {
        failed('GetOrder', error);
      }
    }
  }
}

async function watch(stub) {
  let token = 'start';
  for (; !stopped; await pause(100)) {
    const metadata = new grpc.Metadata({waitForReady: true});
    stream = stub.WatchOrders({resume_token: token}, metadata);
    stream.on('data', (message) => {
      token = message.resume_token || token;
      for (const event of message.events || []) {
        token = event.resume_token;
        tell('event', event.order.order_id, event.order.state);
      }
    });
    const end = await new Promise((ended) => {
      stream.on('error', ended);
      stream.on('end', () => setImmediate(ended, {code: grpc.status.OK, details: 'ended'}));
    });
    if (stopped) return;
    const details = end.metadata ? end.metadata.get('grpc-status-details-bin') : [];
    // Its google.rpc.ErrorInfo; one word is all that is needed of it.
    if (details.some((detail) => detail.includes('SERVER_DRAINING'))) {
      tell('resumed');
    } else {
      failed('WatchOrders', end);
    }
  }
}

async function main() {
  const [work, target] = process.argv.slice(2);
  // Nothing is generated: the service is what its descriptors say.
  const definition = protoLoader.loadFileDescriptorSetFromBuffer(
      readFileSync(process.env.DESCRIPTORS), {keepCase: true});
  const {OrdersService} = grpc.loadPackageDefinition(definition).orders.v1;
  const options = {};
  if (process.env.SERVICE_CONFIG) {
    options['grpc.service_config'] = readFileSync(process.env.SERVICE_CONFIG, 'utf8');
  }
  let credentials = grpc.credentials.createInsecure();
  if (process.env.TLS_CERTIFICATE) {
    credentials = grpc.credentials.createSsl(readFileSync(process.env.TLS_CERTIFICATE));
    options['grpc.ssl_target_name_override'] = 'localhost';
  }
  const stub = new OrdersService(target, credentials, options);
  await {place, watch}[work](stub);
  stub.close();
}

main();
