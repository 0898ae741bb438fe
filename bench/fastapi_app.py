"""
fastapi_app - what people would write first: FastAPI, pydantic and asyncpg in front of PostgreSQL. The yardstick (d) of
`./dev bench postgres`, run by uvicorn with two workers; once as the packages come (asyncio, h11), once with uvloop and httptools.

Meant to be as good as an afternoon allows, nothing in it is slow on purpose: a pool, prepared statements (asyncpg keeps
them), one pipelined and atomic `executemany` a batch (asyncpg 0.22 and later: all rows or none, one COMMIT), no access log,
no response model. It answers after COMMIT. What it leaves out of the contract of Potik is left out in its favour: no verdict
an event (one bad event refuses its batch), no count of duplicates in a batch (`executemany` tells none), no limit of sizes or
depths, no repeated keys, no exact numbers.

Debian's pydantic is 1.10 as plain Python; it is what `apt-get install python3-fastapi` gives.

Environment: DATABASE_URL, WRITE_KEY, POOL_SIZE (a worker; 10 is asyncpg's own default).
"""
import hmac
import json
import os
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, Extra, constr, root_validator

PROJECT = 1
GENERATION = 1
WRITE_KEY = "Bearer " + os.environ["WRITE_KEY"]
INSERT = """
    INSERT INTO events (project_id, event_id, event_type, user_id, anonymous_id, session_id, occurred_at, received_at,
                        properties, generation)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (project_id, event_id) DO NOTHING
"""

app = FastAPI()


class Event(BaseModel):
    event_id: constr(min_length=1, max_length=128)
    event_type: constr(min_length=1, max_length=200)
    user_id: Optional[constr(min_length=1, max_length=200)]
    anonymous_id: Optional[constr(min_length=1, max_length=200)]
    session_id: Optional[constr(min_length=1, max_length=128)]
    occurred_at: Optional[datetime]
    properties: Optional[Dict[str, Any]]

    class Config:
        extra = Extra.forbid

    @root_validator(skip_on_failure=True)
    def has_person(cls, values):
        if values["user_id"] is None and values["anonymous_id"] is None:
            raise ValueError("user_id or anonymous_id is required")
        return values


@app.on_event("startup")
async def open_pool():
    size = int(os.environ.get("POOL_SIZE", "10"))
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size)


@app.on_event("shutdown")
async def close_pool():
    await app.state.pool.close()


async def check_key(request: Request):
    if not hmac.compare_digest(request.headers.get("authorization", ""), WRITE_KEY):
        raise HTTPException(status_code=401)


def row(event: Event, received_at: datetime):
    return (
        PROJECT, event.event_id, event.event_type, event.user_id, event.anonymous_id, event.session_id,
        event.occurred_at or received_at, received_at,
        None if event.properties is None else json.dumps(event.properties), GENERATION,
    )


@app.post("/v1/events", dependencies=[Depends(check_key)])
async def post_event(event: Event):
    status = await app.state.pool.execute(INSERT, *row(event, datetime.now(timezone.utc)))
    accepted = 1 if status == "INSERT 0 1" else 0
    return {"accepted": accepted, "duplicates": 1 - accepted, "rejected": 0}


@app.post("/v1/events/batch", dependencies=[Depends(check_key)])
async def post_batch(events: List[Event]):
    received_at = datetime.now(timezone.utc)
    await app.state.pool.executemany(INSERT, [row(event, received_at) for event in events])
    return {"accepted": len(events), "duplicates": 0, "rejected": 0}


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}
