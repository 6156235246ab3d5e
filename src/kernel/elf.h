/* SPDX-License-Identifier: Apache-2.0 */
/* As much of ELF files as is needed to see where in memory their content ends. */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ELF_PHDRS_MAX = 64 };

/* A 64-bit ELF file with at most ELF_PHDRS_MAX program headers of the size that we know. */
bool elf_is_known(const Elf64_Ehdr *ehdr);

/*
 * Offset behind the last byte that anything in the file's tables refers to, or, of executable
 * segments alone (@code_only), behind their last. @phdr has ehdr->e_phnum entries.
 */
uint64_t elf_content_end(const Elf64_Ehdr *ehdr, const Elf64_Phdr *phdr, bool code_only);

/* The same of a whole file of @len bytes in memory; @len if it is none that is known. */
size_t elf_image_content(const unsigned char *image, size_t len);
