# SPDX-License-Identifier: Apache-2.0
# sqlite3 in the middle of a transaction: one row at a time goes into a table, and only every 40th row is committed. What a
# transaction holds (locks, journal, unwritten pages) has to survive.
feed() {
	echo "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, square INTEGER);"
	n=0
	while :; do
		n=$((n + 1))
		[ $((n % 40)) = 1 ] && echo "BEGIN IMMEDIATE;"
		echo "INSERT INTO t VALUES ($n, $n * $n);"
		echo "SELECT $n || ' ' || CASE WHEN count(*) = $n AND sum(square) = sum(n * n) THEN 'right' ELSE 'wrong' END FROM t;"
		[ $((n % 40)) = 0 ] && echo "COMMIT;"
		sleep 0.003
	done
}
feed | sqlite3 -batch db >> log
