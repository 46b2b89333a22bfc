"""Assent's tools in agent frameworks. Nothing is imported unless it is used, and no framework is a dependency of Assent.

`model_apis` needs none, `langgraph` needs LangGraph, `pydantic_ai` needs Pydantic AI. Each takes a session, of
`assent.Runtime`, `assent.client` or `assent.sync`, and the tools that its agent is offered. All calls are steps of that session,
which is closed, cancelled or undone as one.
"""
