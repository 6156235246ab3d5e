/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image on disk: a directory (0700) of files (0600).
 *
 *	manifest.img .... one Manifest; written last and renamed into place: without it no image
 *	origin.img ...... one Origin
 *	processes.img ... the records of Checkpoint.processes, and so on: one file for every field
 *			  of Checkpoint, named like the field
 *	pages-<id>.img .. raw pages, nothing else, so that they are aligned for direct I/O; which
 *			  page belongs where is said by the PageRuns of an Mm or Inode
 *
 * A metadata file is a head and then records, all numbers little-endian:
 *
 *	head	8 bytes "coppice\n", u32 format version, u32 number of the field in Checkpoint
 *		(0: the manifest)
 *	record	u32 length of the message, u64 XXH3-64 of the message, the message (protobuf)
 *
 * Every file is written from its start to its end without seeking. The manifest knows the size
 * of each file, so that a lost tail is noticed too.
 */
#pragma once

#include <stdint.h>

#define IMAGE_MAGIC	    "coppice\n"
#define IMAGE_SUFFIX	    ".img"
#define IMAGE_MANIFEST	    "manifest.img"
#define IMAGE_MANIFEST_TEMP "manifest.img.tmp"
#define IMAGE_PAGES_PREFIX  "pages-"

enum {
	IMAGE_VERSION = 1,
	IMAGE_MAGIC_LEN = 8,
	IMAGE_HEAD_LEN = 16,
	IMAGE_RECORD_HEAD_LEN = 12,
	IMAGE_NAME_MAX = 64, /* with the final NUL */
	/* Field numbers from here on may be ignored by a reader that does not know them. */
	IMAGE_FIELD_OPTIONAL = 1000,
	/* Bytes of a page file that share one checksum in the manifest (with checksum_pages). */
	IMAGE_PAGES_CHUNK = 1 << 20,
};

/* Bounds against hostile images: of one metadata file, and of what all of them unpack to. */
#define IMAGE_METADATA_MAX (UINT64_C(1) << 30)
#define IMAGE_UNPACKED_MAX (UINT64_C(4) << 30)
