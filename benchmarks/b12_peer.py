"""The peer of B11 and B12: FastAPI on uvicorn, vectors that were computed beforehand in a Redis-compatible
server, XGBoost, as an engineer would write it who cares for speed."""

from __future__ import annotations

import os

import msgspec
import numpy as np
import redis.asyncio
import uvicorn
import xgboost
from fastapi import FastAPI, Response
from pydantic import BaseModel

PORT, STORE, MODEL = (os.environ[f"B12_{name}"] for name in ("PORT", "STORE", "MODEL"))
OF_USER = np.array(msgspec.json.decode(os.environ["B12_OF_USER"]), np.int64)
OF_ITEM = np.array(msgspec.json.decode(os.environ["B12_OF_ITEM"]), np.int64)

app = FastAPI()
vectors = redis.asyncio.Redis.from_url(STORE)
booster = xgboost.Booster(model_file=MODEL)
booster.set_param({"nthread": 1})


class Asked(BaseModel):
    """A list to be ranked."""

    user_id: str
    items: list[str]


@app.post("/rank")
async def rank(asked: Asked) -> Response:
    """The items, best first, by the vectors of the user and of each item."""
    user, *items = await vectors.mget([f"u:{asked.user_id}", *(f"i:{item}" for item in asked.items)])
    rows = np.empty((len(items), OF_USER.size + OF_ITEM.size), np.float32)
    rows[:, OF_USER] = np.frombuffer(user, np.float32)
    rows[:, OF_ITEM] = np.frombuffer(b"".join(items), np.float32).reshape(len(items), -1)
    scores = booster.inplace_predict(rows, predict_type="margin")
    listed = [{"item_id": asked.items[at], "score": float(scores[at])} for at in np.argsort(-scores)]
    return Response(msgspec.json.encode({"items": listed}), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(PORT), loop="uvloop", http="httptools", access_log=False)
