/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message for people (text: fields that are zero or empty are left out, long byte strings cut)
 * and for programs (JSON: everything; bytes as hex, fixed64 as "0x..." since they are addresses
 * and masks, enums by name). Both stream, so that a million page runs need no memory.
 */
#pragma once

#include <stdio.h>

#include <protobuf-c/protobuf-c.h>

struct context;

int show_text(struct context *ctx, FILE *out, const ProtobufCMessage *msg);
int show_json(struct context *ctx, FILE *out, const ProtobufCMessage *msg);
