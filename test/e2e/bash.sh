# SPDX-License-Identifier: Apache-2.0
# A shell that runs pipelines in a loop: processes come and go all the time.
i=0
while :; do
	i=$((i + 1))
	sum=$(seq 1 200 | sort -rn | awk '{ s += $1 } END { print s }')
	if [ "$sum" = 20100 ]; then echo "$i right"; else echo "$i wrong: $sum"; fi >> log
done
