"""Runs the topics of a script, and ends it with the number of those that failed."""

import sys
import traceback


def run(topics, each_needs_the_last=False):
    failed = 0
    for topic in topics:
        try:
            topic()
        except Exception:
            failed += 1
            print(f"--- {topic.__name__}", file=sys.stderr)
            traceback.print_exc()
            if each_needs_the_last:
                break
    sys.exit(failed)
