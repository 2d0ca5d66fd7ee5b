import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import { onStopSignals } from '../../../src/host/process/stop-signals.js';

function setUp(environment: NodeJS.ProcessEnv) {
  const source = new EventEmitter();
  const state = { ms: 0, stops: 0, exits: 0, signal: '' };
  const stopping = onStopSignals({
    exit: () => state.exits++,
    source: source as unknown as NodeJS.Process,
    environment,
    now: () => state.ms,
  }).then((signal) => {
    state.stops++;
    state.signal = signal;
  });
  const send = (signal: NodeJS.Signals, ms: number) => {
    state.ms = ms;
    source.emit(signal, signal);
  };
  return { state, stopping, send };
}

describe('onStopSignals', () => {
  const npm = { npm_lifecycle_event: 'start' };
  const hangUps: readonly (readonly [NodeJS.Signals, number])[] = [
    ['SIGHUP', 10],
    ['SIGHUP', 11],
  ];
  const cases: readonly [
    name: string,
    environment: NodeJS.ProcessEnv,
    signals: readonly (readonly [NodeJS.Signals, number])[],
    exits: number,
  ][] = [
    ['one signal', npm, [['SIGINT', 10]], 0],
    ['a terminal that closes and hangs up twice', {}, hangUps, 0],
    ['SIGHUP after SIGTERM, as service managers send it', {}, [['SIGTERM', 10], ...hangUps], 0],
    ['SIGTERM after SIGHUP', {}, [...hangUps, ['SIGTERM', 12]], 0],
    [
      'Ctrl-C that npm hands on',
      npm,
      [
        ['SIGINT', 10],
        ['SIGINT', 159],
      ],
      0,
    ],
    [
      'Ctrl-C that two npms hand on',
      npm,
      [
        ['SIGINT', 10],
        ['SIGINT', 20],
        ['SIGINT', 30],
      ],
      0,
    ],
    [
      'a second Ctrl-C under npm',
      npm,
      [
        ['SIGINT', 10],
        ['SIGINT', 160],
      ],
      1,
    ],
    [
      'a second Ctrl-C that npm hands on too',
      npm,
      [
        ['SIGINT', 10],
        ['SIGINT', 11],
        ['SIGINT', 900],
      ],
      1,
    ],
    [
      'Ctrl-C twice without npm',
      {},
      [
        ['SIGINT', 10],
        ['SIGINT', 11],
      ],
      1,
    ],
    [
      'SIGTERM twice under npm',
      npm,
      [
        ['SIGTERM', 10],
        ['SIGTERM', 11],
      ],
      1,
    ],
    [
      'SIGTERM after Ctrl-C under npm',
      npm,
      [
        ['SIGINT', 10],
        ['SIGTERM', 11],
      ],
      1,
    ],
    [
      'Ctrl-C after SIGTERM under npm',
      npm,
      [
        ['SIGTERM', 10],
        ['SIGINT', 11],
      ],
      1,
    ],
  ];
  for (const [name, environment, signals, exits] of cases) {
    it(`${exits === 0 ? 'stops' : 'stops, then exits at once'}: ${name}`, async () => {
      const { state, stopping, send } = setUp(environment);
      for (const [signal, ms] of signals) send(signal, ms);
      await stopping;
      expect(state).to.include({ stops: 1, exits, signal: signals[0]?.[0] });
    });
  }
});
