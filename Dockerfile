# One image for every role; the command says which. Built from the locked packages only.
FROM python:3.13-slim AS build
WORKDIR /app
COPY requirements/run.lock requirements/run.lock
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock

FROM python:3.13-slim
RUN useradd --system --create-home --uid 10001 stampbook \
    && install --directory --owner=stampbook --mode=700 /keys
WORKDIR /app
COPY --from=build /venv /venv
COPY contracts contracts
COPY services services
COPY stampbook stampbook
COPY examples examples
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER stampbook
CMD ["python", "-m", "stampbook", "--help"]
