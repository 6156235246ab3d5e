# SPDX-License-Identifier: Apache-2.0
# MariaDB, whose InnoDB reads and writes through an io_uring, with a client connected and in the middle of a transaction:
# one row at a time goes into a table, and only every 40th row is committed.
dir=$PWD
mariadb-install-db --no-defaults --datadir="$dir/db" --user=root --auth-root-authentication-method=normal \
	--skip-test-db >/dev/null 2>&1
/usr/sbin/mariadbd --no-defaults --datadir="$dir/db" --tmpdir="$dir" --socket="$dir/socket" --skip-networking --user=root \
	--innodb-flush-method=O_DIRECT --innodb-buffer-pool-size=8M >/dev/null 2>"$dir/server" &
until mariadb --no-defaults -S "$dir/socket" -e 'SELECT 1' >/dev/null 2>&1; do sleep 0.1; done
feed() {
	echo "CREATE DATABASE d; USE d;"
	echo "CREATE TABLE t (n INT PRIMARY KEY, square BIGINT, filling TEXT) ENGINE=InnoDB;"
	n=0
	while :; do
		n=$((n + 1))
		[ $((n % 40)) = 1 ] && echo "BEGIN;"
		echo "INSERT INTO t VALUES ($n, $n * $n, REPEAT('x', 5000));"
		echo "SELECT CONCAT($n, ' ', IF(COUNT(*) = $n AND SUM(square) = SUM(n * n), 'right', 'wrong')) FROM t;"
		[ $((n % 40)) = 0 ] && echo "COMMIT;"
		sleep 0.003
	done
}
feed | mariadb --no-defaults -S "$dir/socket" --batch --unbuffered --skip-column-names >> log
