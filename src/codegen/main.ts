#!/usr/bin/env node
/** protoc-gen-sealwire: a compiler plugin on standard input and output. */
import { runNodeJs } from '@bufbuild/protoplugin';
import { plugin } from './plugin.js';

runNodeJs(plugin);
