import { runHost } from 'sealwire/host';
import { createBookingApp } from './app.js';

await runHost(createBookingApp());
