"""Runs the cases of Autobahn against a WebSocket server. Says what became of each.

verdicts.py <host:port>

Those that take gigabytes (9, and compression's 12 and 13) are left out.
"""

import asyncio
import json
import sys

from kosoku import FailureError, run_fuzzingclient


async def main():
    try:
        results = await run_fuzzingclient(f"ws://{sys.argv[1]}", exclude_cases=["9.*", "12.*", "13.*"], concurrency=8)
    except FailureError as failure:
        results = failure.results
    told = {}
    for case in results:
        # Which of the acceptable ends it is depends on who is faster.
        acceptable = case.behavior.value in ("OK", "NON-STRICT", "INFORMATIONAL")
        told[case.case_id] = [acceptable, case.behavior_close.value, case.remote_close_code]
    print(json.dumps(told), flush=True)


asyncio.run(main())
