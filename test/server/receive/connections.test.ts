import { Socket } from 'node:net';
import { expect } from 'chai';
import { affordableConnections, Connections } from '../../../src/server/receive/connections.js';

describe('connections', () => {
  /** Adds connections, and closes those that have to go. @returns names of what was closed */
  const open = (connections: Connections, names: readonly string[], sockets = new Map<Socket, string>()) =>
    names.flatMap((name, at) => {
      const socket = new Socket();
      sockets.set(socket, `${name}${at}`);
      const closed = connections.add(socket, name);
      closed?.emit('close');
      return closed === undefined ? [] : [sockets.get(closed)];
    });

  it('of one network are so many at a time, for its share', () => {
    const connections = new Connections((network) => (network === 'proxy' ? 4 : 2), 100);
    expect(open(connections, ['a', 'a', 'a', 'b', 'a'])).to.deep.equal(['a2', 'a4']);
    expect(open(connections, Array(5).fill('proxy'))).to.deep.equal(['proxy4']);
    const one = new Socket();
    connections.add(one, 'c');
    one.emit('close');
    expect(open(connections, ['c', 'c', 'c'])).to.deep.equal(['c2']);
  });

  it('of all are so many: the network that has most loses its latest', () => {
    const connections = new Connections(() => 100, 4);
    expect(open(connections, ['a', 'b', 'b', 'b', 'c', 'b', 'd'])).to.deep.equal(['b3', 'b5', 'b2']);
  });

  it('leave descriptors for files', () => {
    const limits = (soft: string) =>
      `Limit   Soft Limit   Hard Limit\nMax open files            ${soft}         9999999   files\n`;
    expect(['1024', '4096', '1048576', 'unlimited'].map((soft) => affordableConnections(limits(soft)))).to.deep.equal([
      768, 3_072, 65_536, 6_144,
    ]);
    expect(affordableConnections('')).to.equal(6_144);
    expect(affordableConnections()).to.be.within(1, 65_536);
  });
});
