import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { status } from '@grpc/grpc-js';
import { type SealedToken, tokenOf } from 'sealwire';
import type { HostApp } from 'sealwire/host';
import type { Patient } from '../gen/clinic/v1/booking.js';
import { addSealedBookingService, SealedBookingService } from '../gen/clinic/v1/booking_sealed.js';

/** Bookings are kept with the patient as the token that came; the plaintext is kept nowhere. */
export function createBookingApp(): HostApp {
  return {
    name: 'clinic-booking',
    services: [SealedBookingService],
    descriptors: readFileSync('gen/descriptors.binpb'),
    validators: {
      *'clinic.v1.Patient'({ name }: Patient) {
        if (name === '') yield { path: 'name', rule: 'must not be empty' };
      },
    },
    start(host) {
      const bookings = new Map<string, { slot: string; patient: SealedToken | undefined }>();
      host.add(addSealedBookingService, {
        book(call, callback) {
          const { slot } = call.request;
          const bookingId = randomUUID();
          bookings.set(bookingId, { slot, patient: tokenOf(call.request, 'patient') });
          host.logger.info('booked', { bookingId, slot });
          callback(null, { bookingId });
        },
        async getBooking(call, callback) {
          const { slot, patient } = bookings.get(call.request.bookingId) ?? {};
          if (slot === undefined || patient === undefined) throw { code: status.NOT_FOUND, details: 'no such booking' };
          const place = { field: 'clinic.v1.BookRequest.patient', bound: { slot }, call };
          callback(null, { slot, patient: await host.openStored<Patient>(patient, place) });
        },
      });
      return {};
    },
  };
}
