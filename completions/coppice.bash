# SPDX-License-Identifier: Apache-2.0
# bash completion for coppice
# What the process after -t has open that may belong to the outside.
_coppice_external() {
	local pid i
	for ((i = 1; i < ${#COMP_WORDS[@]} - 1; i++)); do
		case ${COMP_WORDS[i]} in -t | --tree) pid=${COMP_WORDS[i + 1]} ;; esac
	done
	[ -d "/proc/$pid/fd" ] || return
	mapfile -t COMPREPLY < <(readlink "/proc/$pid/fd/"* 2>/dev/null | grep -E '^(pipe|socket):' | sort -u)
}
_coppice() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} options
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W 'dump restore check plan show --help --version' -- "$cur")
		return
	fi
	case $prev in
	-D | --images-dir)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return ;;
	-o | --log-file | --pidfile)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	--external)
		_coppice_external
		return ;;
	-t | --tree)
		if [ "${COMP_WORDS[1]}" = plan ] && [ "$prev" = --tree ]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$cur")
		fi
		return ;;
	esac
	case ${COMP_WORDS[1]} in
	dump) options='--tree --images-dir --leave-running --leave-stopped --shell-job --tcp-established --tcp-close --skip-in-flight --ext-unix-sk --check-content --checksum-pages --external --stats' ;;
	restore) options='--images-dir --restore-detached --leave-stopped --shell-job --pidfile --check-content --check-pages --keep-clocks --no-verify --inherit-fd --stats' ;;
	check) options='--tree --images-dir --shell-job --tcp-established --tcp-close --skip-in-flight --ext-unix-sk --check-content --check-pages --keep-clocks --external --inherit-fd' ;;
	plan) options='--images-dir --tree --json --dot' ;;
	show) options='--images-dir --json' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$options --verbose --log-file --help" -- "$cur")
}
complete -F _coppice coppice
