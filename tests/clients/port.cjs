// The client connects to port 443 and no other, where only privileged processes may listen.
'use strict';

const tls = require('node:tls');

const connect = tls.connect;
tls.connect = (options, ...rest) =>
  connect({ ...options, port: Number(process.env.HUB_PORT) }, ...rest);
