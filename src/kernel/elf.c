/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/elf.h"

#include <string.h>

#include "util/macro.h"

bool elf_is_known(const Elf64_Ehdr *ehdr)
{
	return memcmp(ehdr->e_ident, ELFMAG, SELFMAG) == 0 &&
	       ehdr->e_ident[EI_CLASS] == ELFCLASS64 && ehdr->e_phentsize == sizeof(Elf64_Phdr) &&
	       ehdr->e_phnum <= ELF_PHDRS_MAX;
}

uint64_t elf_content_end(const Elf64_Ehdr *ehdr, const Elf64_Phdr *phdr, bool code_only)
{
	uint64_t end = 0;

	for (size_t i = 0; i < ehdr->e_phnum; i++)
		if (!code_only || (phdr[i].p_type == PT_LOAD && (phdr[i].p_flags & PF_X)))
			end = MAX(end, phdr[i].p_offset + phdr[i].p_filesz);
	if (!code_only)
		end = MAX(end, ehdr->e_shoff + (uint64_t)ehdr->e_shnum * ehdr->e_shentsize);
	return end;
}

size_t elf_image_content(const unsigned char *image, size_t len)
{
	Elf64_Phdr phdr[ELF_PHDRS_MAX];
	Elf64_Ehdr ehdr;
	size_t size;
	uint64_t end;

	if (len < sizeof(ehdr))
		return len;
	memcpy(&ehdr, image, sizeof(ehdr));
	if (!elf_is_known(&ehdr))
		return len;
	size = ehdr.e_phnum * sizeof(phdr[0]);
	if (ehdr.e_phoff > len || size > len - ehdr.e_phoff)
		return len;
	memcpy(phdr, image + ehdr.e_phoff, size);
	end = elf_content_end(&ehdr, phdr, false);
	return end > 0 && end < len ? (size_t)end : len;
}
