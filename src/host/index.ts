/** `sealwire/host`: run a service of your own with all that `sealwire serve` has. */

export type { AddService, AppHost, AppLogger, HostApp, RunningApp } from './app.js';
export type { ConfigSources, HostConfigInput } from './config.js';
export { type HostOptions, type RunningHost, startHost } from './host.js';
export { runHost } from './process/run-host.js';
