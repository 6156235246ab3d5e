# SPDX-License-Identifier: Apache-2.0
# Signal handlers, an interval timer, a child that answers over a pair of pipes.
use strict;
use warnings;
use Time::HiRes qw(setitimer ITIMER_REAL);
use IO::Handle;

open(my $log, '>>', 'log') or die;
$log->autoflush(1);
pipe(my $from_parent, my $to_child) or die;
pipe(my $from_child, my $to_parent) or die;
my $pid = fork() // die;
if ($pid == 0) {
	close $to_child;
	close $from_child;
	$to_parent->autoflush(1);
	while (my $n = <$from_parent>) { print {$to_parent} $n * $n, "\n"; }
	exit 0;
}
close $from_parent;
close $to_parent;
$to_child->autoflush(1);
my ($ticks, $n) = (0, 0);
$SIG{ALRM} = sub { $ticks++ };
setitimer(ITIMER_REAL, 0.003, 0.003);
while (1) {
	my $before = $ticks;
	select(undef, undef, undef, 0.05) while $ticks == $before;
	$n++;
	print {$to_child} "$n\n";
	my $answer;
	$answer = <$from_child> until defined $answer;
	print {$log} "$n ", ($answer == $n * $n ? 'right' : "wrong: $answer"), "\n";
}
